-- Deletes those of several sessions that have at most $2 messages and $3 sealed bytes, and that no other transaction has
-- locked, so that a batch never takes long. One row for each session that exists. The foreign keys of the other tables
-- cascade. Locks are taken in the order of ids, as everywhere, so that concurrent statements do not deadlock.
WITH deleted AS (
    DELETE FROM sessions
    USING (
        SELECT id FROM sessions
        WHERE id = ANY($1::uuid[]) AND NOT EXISTS (
            SELECT FROM (
                SELECT position, total_bytes FROM messages WHERE session_id = sessions.id ORDER BY position DESC LIMIT 1
            ) AS newest
            WHERE newest.position > $2::integer OR newest.total_bytes > $3::bigint
        )
        ORDER BY id FOR UPDATE SKIP LOCKED
    ) AS locked
    WHERE sessions.id = locked.id
    RETURNING sessions.id
)
SELECT sessions.id, deleted.id IS NOT NULL AS is_deleted
FROM sessions LEFT JOIN deleted ON deleted.id = sessions.id
WHERE sessions.id = ANY($1::uuid[])
