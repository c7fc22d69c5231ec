-- The tables of sessions: rows and dead rows as PostgreSQL counts them, the seconds since the last vacuum (NULL if there was none), the
-- size of the file, the average width of a row by the statistics (NULL without any), and whether autovacuum is turned off for it.
SELECT pg_class.relname::text AS name, coalesce(n_live_tup, 0)::int8 AS live_rows, coalesce(n_dead_tup, 0)::int8 AS dead_rows,
    extract(epoch FROM clock_timestamp() - greatest(last_vacuum, last_autovacuum))::float8 AS vacuumed_s_ago,
    pg_relation_size(pg_class.oid) AS bytes,
    (SELECT sum(avg_width) FROM pg_stats WHERE schemaname = nspname AND tablename = pg_class.relname)::int8 AS row_width,
    EXISTS (
        SELECT FROM pg_options_to_table(reloptions) WHERE option_name = 'autovacuum_enabled' AND NOT option_value::bool
    ) AS is_excluded
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace LEFT JOIN pg_stat_all_tables ON relid = pg_class.oid
WHERE pg_class.oid IN (to_regclass('sessions'), to_regclass('messages'), to_regclass('reports'), to_regclass('turns'))
ORDER BY pg_class.relname
