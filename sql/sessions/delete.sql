-- Deletes a session that this transaction has locked, and returns it with its newest message and the number of its reports: the
-- foreign keys of the other tables cascade. The positions of messages have no gaps, so the newest one is the number of messages.
-- Only behind the lock are both exact: a statement does not see what is committed while it waits for a lock.
DELETE FROM sessions
USING (SELECT count(*) AS reports FROM reports WHERE session_id = $1::uuid) AS counted LEFT JOIN LATERAL (
    SELECT * FROM messages WHERE session_id = $1::uuid ORDER BY position DESC LIMIT 1
) AS newest ON true
WHERE sessions.id = $1::uuid
RETURNING sessions.id, sessions.sealed AS session_sealed, sessions.idle_timeout_seconds, sessions.last_report,
    newest.position, newest.id AS message_id, newest.sealed, newest.total_bytes, counted.reports
