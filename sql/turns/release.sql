-- Deletes the claim of a turn that is over. A row that is locked is passed over: another turn takes it, or its session is deleted.
DELETE FROM turns WHERE session_id = $1::uuid AND session_id IN (
    SELECT session_id FROM turns WHERE session_id = $1::uuid AND claim = $2::uuid FOR UPDATE SKIP LOCKED
)
RETURNING claim
