-- Deletes claims of turns that are over.
DELETE FROM turns WHERE session_id = ANY($1::uuid[]) AND claim = ANY($2::uuid[]) RETURNING claim
