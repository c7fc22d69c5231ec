-- Stores a session.
INSERT INTO sessions (id, sealed, idle_timeout_seconds) VALUES ($1::uuid, $2::bytea, $3::integer)
