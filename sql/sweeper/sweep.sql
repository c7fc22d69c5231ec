-- Deletes sessions that ended for certain, the oldest first, and returns their number. $1 and $2: the seconds of the idle
-- timeout and of the maximum age. At most $3 sessions of each kind, with at most $4 messages and $5 sealed bytes together, or
-- one session of any size. A row says the hour alone, so a session counts from the end of it; and a turn writes the hour when it
-- begins, so its answer, up to five minutes later, can be of the next one: ten minutes are added.
-- Nothing here waits for a lock: what is locked is in use, and next time it is seen again.
WITH idle AS (
    SELECT id FROM sessions
    WHERE last_used_hour <= floor((extract(epoch FROM now()) - 600 - $1::bigint) / 3600)::integer - 1
    ORDER BY last_used_hour LIMIT $3::integer FOR UPDATE SKIP LOCKED
), aged AS (
    SELECT id FROM sessions
    WHERE created_hour < last_used_hour
        AND created_hour <= floor((extract(epoch FROM now()) - 600 - $2::bigint) / 3600)::integer - 1
    ORDER BY created_hour LIMIT $3::integer FOR UPDATE SKIP LOCKED
), own AS (
    SELECT id FROM sessions
    WHERE idle_timeout_seconds IS NOT NULL
        AND last_used_hour::bigint * 3600 + idle_timeout_seconds <= floor(extract(epoch FROM now()))::bigint - 600 - 3600
    ORDER BY last_used_hour::bigint * 3600 + idle_timeout_seconds LIMIT $3::integer FOR UPDATE SKIP LOCKED
), ended AS (
    SELECT id FROM idle UNION SELECT id FROM aged UNION SELECT id FROM own
), measured AS (
    SELECT ended.id, row_number() OVER by_id AS number, sum(coalesce(newest.position, 0)) OVER by_id AS messages,
        sum(coalesce(newest.total_bytes, 0)) OVER by_id AS bytes
    FROM ended LEFT JOIN LATERAL (
        SELECT position, total_bytes FROM messages WHERE session_id = ended.id ORDER BY position DESC LIMIT 1
    ) AS newest ON true
    WINDOW by_id AS (ORDER BY ended.id)
), deleted AS (
    DELETE FROM sessions USING measured
    WHERE sessions.id = measured.id AND (number = 1 OR (messages <= $4::bigint AND bytes <= $5::bigint))
    RETURNING sessions.id
)
SELECT count(*) FROM deleted
