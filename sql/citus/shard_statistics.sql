-- Repeats on the shards what migration V2 says of messages to the planner: Citus does not copy it. One row for each shard.
SELECT success FROM run_command_on_shards('messages', 'ALTER TABLE %s ALTER COLUMN session_id SET (n_distinct = -0.01)')
