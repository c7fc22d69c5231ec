-- Moves the end of a claim on to 5 s from now. A row that is locked is passed over until the next time, so that nothing here waits.
UPDATE turns SET ends_at = now() + interval '5 seconds' WHERE session_id = $1::uuid AND session_id IN (
    SELECT session_id FROM turns WHERE session_id = $1::uuid AND claim = $2::uuid FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING claim
