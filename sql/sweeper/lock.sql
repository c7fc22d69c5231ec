-- One server; distributed: sweeper/ended.sql sweeper/delete.sql
-- Begins the transaction of a batch. False while another service on this schema deletes one; the end of the transaction
-- releases the lock. The commit does not wait for the disk: a batch that is lost in a crash is deleted again.
SELECT pg_try_advisory_xact_lock(hashtext('safespace sweeper'), coalesce(hashtext(current_schema()), 0)) AS is_locked,
    set_config('synchronous_commit', 'off', true)
