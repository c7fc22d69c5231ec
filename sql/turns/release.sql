-- One server: deletes claims of turns that are over; distributed: turns/release_shards.sql
-- A row that is locked is passed over: another turn takes it, or its session is deleted.
WITH locked AS (
    SELECT session_id FROM turns WHERE session_id = ANY($1::uuid[]) AND claim = ANY($2::uuid[]) FOR UPDATE SKIP LOCKED
)
DELETE FROM turns USING locked
WHERE turns.session_id = locked.session_id
RETURNING turns.claim
