-- Deletes a session of any size, and waits for its lock. The foreign keys of the other tables cascade.
-- PostgreSQL keeps the plans of foreign keys for as long as a connection is open. One that was made when the table was small
-- would read the whole table when it is large, until the next ANALYZE: so no plan may. The setting ends with the transaction.
WITH planner AS (SELECT set_config('enable_seqscan', 'off', true) AS enable_seqscan)
DELETE FROM sessions WHERE id = $1::uuid AND (SELECT enable_seqscan FROM planner) = 'off' RETURNING id
