-- One server; distributed: sweeper/ended.sql sweeper/delete.sql
-- Deletes sessions that ended for certain, those first whose end is the longest ago, and returns their number. $1 and $2: the
-- seconds of the idle timeout and of the maximum age. At most $3 sessions of each kind, with at most $4 messages and $5 sealed
-- bytes together, those of reports included, or one session of any size. ends_at: seconds from 1970 to the end, if the session was used at the beginning
-- of its hour. A row says the hour alone, so an hour is added; and a turn writes the hour when it begins, so its answer, up to five
-- minutes later, can be of the next one: ten minutes are added.
-- Locks are taken in the order of ends, not of ids as elsewhere: nothing here waits for a lock, so there is no deadlock. What is
-- locked is in use, and next time it is seen again.
WITH idle AS (
    SELECT id, last_used_hour::bigint * 3600 + $1::bigint AS ends_at FROM sessions
    WHERE last_used_hour <= floor((extract(epoch FROM now()) - 600 - $1::bigint) / 3600)::integer - 1
    ORDER BY last_used_hour LIMIT $3::integer FOR UPDATE SKIP LOCKED
), aged AS (
    SELECT id, created_hour::bigint * 3600 + $2::bigint AS ends_at FROM sessions
    WHERE created_hour < last_used_hour
        AND created_hour <= floor((extract(epoch FROM now()) - 600 - $2::bigint) / 3600)::integer - 1
    ORDER BY created_hour LIMIT $3::integer FOR UPDATE SKIP LOCKED
), own_timeout AS (
    SELECT id, last_used_hour::bigint * 3600 + idle_timeout_seconds AS ends_at FROM sessions
    WHERE idle_timeout_seconds IS NOT NULL
        AND last_used_hour::bigint * 3600 + idle_timeout_seconds <= floor(extract(epoch FROM now()))::bigint - 600 - 3600
    ORDER BY last_used_hour::bigint * 3600 + idle_timeout_seconds LIMIT $3::integer FOR UPDATE SKIP LOCKED
), ended AS (
    SELECT id, min(ends_at) AS ends_at
    FROM (SELECT * FROM idle UNION ALL SELECT * FROM aged UNION ALL SELECT * FROM own_timeout) AS found
    GROUP BY id
), measured AS (
    SELECT ended.id, row_number() OVER oldest_first AS number,
        sum(coalesce(newest.position, 0)) OVER oldest_first AS messages,
        sum(coalesce(newest.total_bytes, 0) + of_reports.bytes) OVER oldest_first AS bytes
    FROM ended LEFT JOIN LATERAL (
        SELECT position, total_bytes FROM messages WHERE session_id = ended.id ORDER BY position DESC LIMIT 1
    ) AS newest ON true CROSS JOIN LATERAL (
        SELECT coalesce(sum(octet_length(sealed)), 0) AS bytes FROM reports WHERE session_id = ended.id
    ) AS of_reports
    WINDOW oldest_first AS (ORDER BY ended.ends_at, ended.id)
), deleted AS (
    DELETE FROM sessions USING measured
    WHERE sessions.id = measured.id AND (number = 1 OR (messages <= $4::bigint AND bytes <= $5::bigint))
    RETURNING sessions.id
)
SELECT count(*) FROM deleted
