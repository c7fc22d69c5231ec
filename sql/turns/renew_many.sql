-- One server; distributed: turns/renew.sql
-- renew.sql for several claims.
WITH locked AS (
    SELECT session_id FROM turns WHERE session_id = ANY($1::uuid[]) AND claim = ANY($2::uuid[]) FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE turns SET ends_at = now() + interval '5 seconds' FROM locked
WHERE turns.session_id = locked.session_id AND turns.session_id = ANY($1::uuid[])
RETURNING claim
