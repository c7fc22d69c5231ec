-- Deletes a report of a session that the transaction has locked.
DELETE FROM reports WHERE session_id = $1::uuid AND id = $2::uuid RETURNING id
