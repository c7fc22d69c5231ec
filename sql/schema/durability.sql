-- What can lose a commit that was acknowledged: the settings of this session, and whether the server has standbys. Streaming backups
-- and logical replication are no standbys. Every role sees these columns. On a standby nothing is committed.
SELECT pg_is_in_recovery() AS is_standby, current_setting('fsync') = 'on' AS is_flushed,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('synchronous_standby_names') <> '' AS waits_for_standbys,
    EXISTS (
        SELECT FROM pg_stat_replication
        WHERE application_name NOT IN ('pg_basebackup', 'pg_receivewal', 'pg_recvlogical') AND pid NOT IN (
            SELECT active_pid FROM pg_replication_slots WHERE slot_type = 'logical' AND active_pid IS NOT NULL
        )
    ) AS has_standbys
