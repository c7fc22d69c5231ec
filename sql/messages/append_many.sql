-- One server; distributed: messages/append.sql
-- append.sql for several messages: each array has one value per message; a row for each that is stored. One session that does not
-- exist refuses them all.
INSERT INTO messages (session_id, position, id, sealed, total_bytes)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::bytea[], $5::bigint[])
    AS wanted (session_id, position, id, sealed, total_bytes)
ORDER BY session_id, position
ON CONFLICT DO NOTHING
RETURNING session_id, id
