-- The state of the server: its version and clock, connections of all roles, the age of the oldest transaction number, whether the
-- newest attempt to archive failed, and the age in seconds of the oldest transactions: of those that this role may see, and of
-- prepared ones.
SELECT current_setting('server_version_num')::int AS version, clock_timestamp() AS clock,
    (SELECT sum(numbackends) FROM pg_stat_database)::int AS connections,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS max_connections,
    (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database())::int AS frozen_age,
    (SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver) AS is_archiving_failing,
    pg_has_role('pg_read_all_stats', 'USAGE') AS sees_transactions,
    (
        SELECT extract(epoch FROM clock_timestamp() - min(xact_start)) FROM pg_stat_activity WHERE backend_type = 'client backend'
    )::float8 AS oldest_transaction_s,
    (SELECT extract(epoch FROM clock_timestamp() - min(prepared)) FROM pg_prepared_xacts)::float8 AS oldest_prepared_s
