-- Stores a message if its session exists, and neither its position nor its id is taken there. The row lock keeps the session
-- until the commit. No row if the session does not exist.
-- sessions/delete.sql says why there is a setting.
WITH planner AS (
    SELECT set_config('enable_seqscan', 'off', true) AS enable_seqscan
), there AS (
    SELECT id FROM sessions WHERE id = $1::uuid AND (SELECT enable_seqscan FROM planner) = 'off' FOR KEY SHARE
), stored AS (
    INSERT INTO messages (session_id, position, id, sealed, total_bytes)
    SELECT id, $2::integer, $3::uuid, $4::bytea, $5::bigint FROM there
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT $1::uuid AS session_id, $3::uuid AS id, EXISTS (SELECT FROM stored) AS is_stored FROM there
