-- Whether this session can only read, and the timeline on which the server writes, in hexadecimal; NULL on a standby. Each promotion of
-- a standby raises the timeline. Any role may ask.
SELECT current_setting('transaction_read_only') = 'on' AS is_read_only,
    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline
