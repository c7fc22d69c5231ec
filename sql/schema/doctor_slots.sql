-- The replication slots, and the bytes of log that each keeps back. Every role sees them. A slot of a backup that runs is temporary.
SELECT slot_name::text AS name, slot_type = 'logical' AS is_logical, active AS is_active,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) END::int8 AS kept_bytes
FROM pg_replication_slots WHERE NOT temporary ORDER BY slot_name
