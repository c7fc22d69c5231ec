-- Those of the two messages of a turn that exist: $2 is the id of its question, $3 that of its answer.
SELECT session_id, position, id AS message_id, sealed, total_bytes
FROM messages WHERE session_id = $1::uuid AND id IN ($2::uuid, $3::uuid)
