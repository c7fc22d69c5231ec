-- Stores a message unless its position or its id is taken in its session; no row if one is. The foreign key refuses a session that
-- does not exist, and keeps the session until the commit.
INSERT INTO messages (session_id, position, id, sealed, total_bytes)
VALUES ($1::uuid, $2::integer, $3::uuid, $4::bytea, $5::bigint)
ON CONFLICT DO NOTHING
RETURNING session_id, id
