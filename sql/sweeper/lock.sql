-- Begins the transaction of a sweep. False where another service on this schema sweeps; the end of the transaction releases
-- the lock. The commit does not wait for the disk: a sweep that is lost in a crash is made again.
SELECT pg_try_advisory_xact_lock(hashtext('safespace sweeper'), coalesce(hashtext(current_schema()), 0)) AS is_locked,
    set_config('synchronous_commit', 'off', true)
