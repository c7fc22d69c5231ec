-- Deletes sessions that this transaction has locked, and says how many rows of each other table go with them: their foreign keys
-- cascade. Only behind the lock is that number exact: a statement does not see what is committed while it waits for a lock.
-- Positions have no gaps, so the newest one is the number of messages.
DELETE FROM sessions WHERE id = ANY($1::uuid[])
RETURNING id,
    coalesce((SELECT position FROM messages WHERE session_id = sessions.id ORDER BY position DESC LIMIT 1), 0)::bigint AS messages
