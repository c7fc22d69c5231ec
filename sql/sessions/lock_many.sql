-- One server; distributed: sessions/lock_if_small.sql
-- Locks those of several sessions that have at most $2 messages and $3 sealed bytes, those of reports included, and that no other
-- transaction has locked, so that a batch of deletes never takes long. One row for each session that exists: NULL where it is locked
-- now, else its sealed bytes. Locks are taken in the order of ids, as everywhere, so that concurrent statements do not deadlock.
WITH found AS (
    SELECT sessions.id, newest.position, coalesce(newest.total_bytes, 0) + of_reports.bytes AS total_bytes
    FROM sessions LEFT JOIN LATERAL (
        SELECT position, total_bytes FROM messages WHERE session_id = sessions.id ORDER BY position DESC LIMIT 1
    ) AS newest ON true CROSS JOIN LATERAL (
        SELECT coalesce(sum(octet_length(sealed)), 0) AS bytes FROM reports WHERE session_id = sessions.id
    ) AS of_reports
    WHERE sessions.id = ANY($1::uuid[])
), locked AS (
    SELECT id FROM sessions
    WHERE id = ANY($1::uuid[]) AND id IN (SELECT id FROM found WHERE coalesce(position, 0) <= $2::integer AND total_bytes <= $3::bigint)
    ORDER BY id FOR UPDATE SKIP LOCKED
)
SELECT found.id, CASE WHEN locked.id IS NULL THEN found.total_bytes END AS bytes_left
FROM found LEFT JOIN locked ON locked.id = found.id
