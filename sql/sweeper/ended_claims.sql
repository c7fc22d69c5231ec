-- All shards: it reads only, and one claim has one shard.
-- Claims that nothing has renewed, of instances that died; at most a thousand.
SELECT session_id, claim FROM turns WHERE ends_at < now() LIMIT 1000
