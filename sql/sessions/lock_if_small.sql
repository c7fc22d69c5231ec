-- lock_many.sql for one session.
WITH found AS (
    SELECT session.id, newest.position, coalesce(newest.total_bytes, 0) + of_reports.bytes AS total_bytes
    FROM sessions AS session LEFT JOIN LATERAL (
        SELECT position, total_bytes FROM messages WHERE session_id = $1::uuid ORDER BY position DESC LIMIT 1
    ) AS newest ON true CROSS JOIN LATERAL (
        SELECT coalesce(sum(octet_length(sealed)), 0) AS bytes FROM reports WHERE session_id = $1::uuid
    ) AS of_reports
    WHERE session.id = $1::uuid
), locked AS (
    SELECT id FROM sessions
    WHERE id = $1::uuid
        AND EXISTS (SELECT FROM found WHERE coalesce(position, 0) <= $2::integer AND total_bytes <= $3::bigint)
    FOR UPDATE SKIP LOCKED
)
SELECT found.id, CASE WHEN locked.id IS NULL THEN found.total_bytes END AS bytes_left
FROM found LEFT JOIN locked ON locked.id = found.id
