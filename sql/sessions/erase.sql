-- One server; distributed: sessions/lock_if_small.sql sessions/delete.sql
-- Deletes a session in one statement, unless it has more than $2 messages or $3 sealed bytes, those of reports included, or another
-- transaction has locked it: then bytes_left has its sealed bytes. No row if it does not exist. The foreign keys of the other tables
-- cascade. The positions of messages have no gaps, so the newest one is the number of messages.
-- For REPEATABLE READ: a row that another transaction has added since this statement began, which it would delete and not count, makes
-- it fail with 40001. With READ COMMITTED, lock_if_small.sql and delete.sql in one transaction count exactly.
WITH found AS (
    SELECT session.id, session.sealed AS session_sealed, session.idle_timeout_seconds, session.last_report,
        newest.position, newest.id AS message_id, newest.sealed, newest.total_bytes, of_reports.reports,
        coalesce(newest.total_bytes, 0) + of_reports.bytes AS all_bytes
    FROM sessions AS session LEFT JOIN LATERAL (
        SELECT * FROM messages WHERE session_id = $1::uuid ORDER BY position DESC LIMIT 1
    ) AS newest ON true CROSS JOIN LATERAL (
        SELECT count(*) AS reports, coalesce(sum(octet_length(sealed)), 0) AS bytes FROM reports WHERE session_id = $1::uuid
    ) AS of_reports
    WHERE session.id = $1::uuid
), locked AS (
    SELECT id FROM sessions
    WHERE id = $1::uuid
        AND EXISTS (SELECT FROM found WHERE coalesce(position, 0) <= $2::integer AND all_bytes <= $3::bigint)
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM sessions WHERE id = $1::uuid AND EXISTS (SELECT FROM locked) RETURNING id
)
SELECT found.*, CASE WHEN deleted.id IS NULL THEN found.all_bytes END AS bytes_left
FROM found LEFT JOIN deleted ON deleted.id = found.id
