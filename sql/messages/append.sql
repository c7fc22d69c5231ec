-- Stores a message if its session exists, and neither its position nor its id is taken there. The row lock keeps the session
-- until the commit. The session's hour of the last use is written once in an hour. No row if the session does not exist.
WITH there AS (
    SELECT id, last_used_hour FROM sessions WHERE id = $1::uuid FOR NO KEY UPDATE
), used AS (
    UPDATE sessions SET last_used_hour = DEFAULT
    FROM there
    WHERE sessions.id = there.id AND there.last_used_hour < floor(extract(epoch FROM now()) / 3600)::integer
), stored AS (
    INSERT INTO messages (session_id, position, id, sealed, total_bytes)
    SELECT id, $2::integer, $3::uuid, $4::bytea, $5::bigint FROM there
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT $1::uuid AS session_id, $3::uuid AS id, EXISTS (SELECT FROM stored) AS is_stored FROM there
