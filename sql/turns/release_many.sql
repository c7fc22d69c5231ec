-- One server; distributed: turns/release.sql
-- release.sql for several claims.
WITH locked AS (
    SELECT session_id FROM turns WHERE session_id = ANY($1::uuid[]) AND claim = ANY($2::uuid[]) FOR UPDATE SKIP LOCKED
)
DELETE FROM turns USING locked
WHERE turns.session_id = locked.session_id AND turns.session_id = ANY($1::uuid[])
RETURNING turns.claim
