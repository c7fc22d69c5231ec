-- Stores a message if its session exists, and neither its position nor its id is taken there. The row lock keeps the session
-- until the commit. No row if the session does not exist.
WITH locked AS (
    SELECT id FROM sessions WHERE id = $1::uuid FOR KEY SHARE
), stored AS (
    INSERT INTO messages (session_id, position, id, sealed, total_bytes)
    SELECT id, $2::integer, $3::uuid, $4::bytea, $5::bigint FROM locked
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT $1::uuid AS session_id, $3::uuid AS id, EXISTS (SELECT FROM stored) AS is_stored FROM locked
