-- One server; distributed: sessions/lock_if_small.sql sessions/delete.sql
-- erase.sql for several sessions. Locks are taken in the order of ids, as everywhere, so that concurrent statements do not deadlock.
WITH found AS (
    SELECT sessions.id, sessions.sealed AS session_sealed, sessions.idle_timeout_seconds, sessions.last_report,
        newest.position, newest.id AS message_id, newest.sealed, newest.total_bytes, of_reports.reports,
        coalesce(newest.total_bytes, 0) + of_reports.bytes AS all_bytes
    FROM sessions LEFT JOIN LATERAL (
        SELECT * FROM messages WHERE session_id = sessions.id ORDER BY position DESC LIMIT 1
    ) AS newest ON true CROSS JOIN LATERAL (
        SELECT count(*) AS reports, coalesce(sum(octet_length(sealed)), 0) AS bytes FROM reports WHERE session_id = sessions.id
    ) AS of_reports
    WHERE sessions.id = ANY($1::uuid[])
), locked AS (
    SELECT id FROM sessions
    WHERE id = ANY($1::uuid[]) AND id IN (SELECT id FROM found WHERE coalesce(position, 0) <= $2::integer AND all_bytes <= $3::bigint)
    ORDER BY id FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM sessions WHERE id = ANY($1::uuid[]) AND id IN (SELECT id FROM locked) RETURNING id
)
SELECT found.*, CASE WHEN deleted.id IS NULL THEN found.all_bytes END AS bytes_left
FROM found LEFT JOIN deleted ON deleted.id = found.id
