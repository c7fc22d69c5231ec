-- Asks the instance that has the claim of a session to stop its turn. A row that is locked is passed over until the next time.
UPDATE turns SET is_stopped = true WHERE session_id = $1::uuid AND session_id IN (
    SELECT session_id FROM turns WHERE session_id = $1::uuid AND claim = $2::uuid FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING claim
