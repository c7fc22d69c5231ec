-- One server; distributed: turns/stop.sql
-- stop.sql for several claims.
WITH locked AS (
    SELECT session_id FROM turns WHERE session_id = ANY($1::uuid[]) AND claim = ANY($2::uuid[]) FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE turns SET is_stopped = true FROM locked
WHERE turns.session_id = locked.session_id AND turns.session_id = ANY($1::uuid[])
RETURNING claim
