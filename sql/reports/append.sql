-- Stores a report of a session that the transaction has locked, if its position is free and the session has fewer than $5. Only
-- behind the lock is the number exact.
INSERT INTO reports (session_id, position, id, sealed)
SELECT id, $2::integer, $3::uuid, $4::bytea
FROM sessions WHERE id = $1::uuid AND (SELECT count(*) FROM reports WHERE session_id = $1::uuid) < $5::integer
ON CONFLICT DO NOTHING
RETURNING id
