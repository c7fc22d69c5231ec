-- One server: deletes claims that nothing has renewed, of instances that were killed; distributed: turns/sweep_shards.sql
WITH ended AS (
    SELECT session_id FROM turns WHERE ends_at < now() FOR UPDATE SKIP LOCKED
)
DELETE FROM turns USING ended WHERE turns.session_id = ended.session_id
