-- Deletes a session if it still is one that ended for certain, as ended.sql finds it, and no other transaction has locked it: what
-- is locked is in use. $2 and $3: the seconds of the idle timeout and of the maximum age.
DELETE FROM sessions WHERE id = $1::uuid AND id IN (
    SELECT id FROM sessions
    WHERE id = $1::uuid AND (
        last_used_hour <= floor((extract(epoch FROM now()) - 600 - $2::bigint) / 3600)::integer - 1
        OR created_hour <= floor((extract(epoch FROM now()) - 600 - $3::bigint) / 3600)::integer - 1
        OR last_used_hour::bigint * 3600 + idle_timeout_seconds <= floor(extract(epoch FROM now()))::bigint - 600 - 3600
    )
    FOR UPDATE SKIP LOCKED
)
RETURNING id
