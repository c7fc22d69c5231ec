-- Deletes claims that nothing has renewed, of instances that were killed.
DELETE FROM turns WHERE ends_at < now()
