-- Changes the timeout of a session; NULL for the operator's.
UPDATE sessions SET idle_timeout_seconds = $2::integer WHERE id = $1::uuid RETURNING id
