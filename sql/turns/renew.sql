-- One server: moves the ends of claims on to 5 s from now; distributed: turns/renew_shards.sql
-- A row that is locked is passed over until the next time, so that nothing here waits, and no deadlock is possible.
WITH locked AS (
    SELECT session_id FROM turns WHERE session_id = ANY($1::uuid[]) AND claim = ANY($2::uuid[]) FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE turns SET ends_at = now() + interval '5 seconds' FROM locked
WHERE turns.session_id = locked.session_id
