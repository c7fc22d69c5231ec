-- A report of a session.
SELECT sealed FROM reports WHERE session_id = $1::uuid AND id = $2::uuid
