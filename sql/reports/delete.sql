-- Deletes a report of a session.
DELETE FROM reports WHERE session_id = $1::uuid AND id = $2::uuid RETURNING id
