//! What is looked for in PostgreSQL. docs/doctor.md has the same table.

use crate::doctor::finding::checks;

checks! {
    UNREACHABLE: Serious, "postgres.unreachable",
        "without PostgreSQL nobody is served",
        "run `safespace check`, which says why there is no connection";
    SCHEMA_BEHIND: Serious, "postgres.schema_behind",
        "this binary does not serve an older schema",
        "run `safespace migrate` with a role that owns the schema";
    SCHEMA_AHEAD: Warning, "postgres.schema_ahead",
        "a newer SafeSpace migrated the database",
        "start that version everywhere";
    PRIVILEGES_MISSING: Serious, "postgres.privileges_missing",
        "sessions cannot be stored or deleted",
        "grant what docs/setup.md lists";
    SESSION_SETTINGS: Warning, "postgres.session_settings",
        "statements can be slow or wait for ever",
        "set them for the role (docs/setup.md, PgBouncer)";

    LOG_STATEMENT: Serious, "postgres.log_statement",
        "PostgreSQL's log tells which lookup was used when, also by who only reads",
        "ALTER SYSTEM SET log_statement = 'none', and delete that log";
    LOG_MIN_DURATION_STATEMENT: Serious, "postgres.log_min_duration_statement",
        "PostgreSQL's log tells which lookup a slow statement used, and when",
        "ALTER SYSTEM SET log_min_duration_statement = -1, and delete that log";
    LOG_SAMPLE: Serious, "postgres.log_sample",
        "PostgreSQL's log has a sample of statements with their lookups and times",
        "ALTER SYSTEM SET log_min_duration_sample = -1, and log_transaction_sample_rate = 0";
    LOG_PARAMETERS: Warning, "postgres.log_parameter_max_length",
        "lookups and sealed bytes are in the log beside the statements",
        "stop logging statements, or ALTER SYSTEM SET log_parameter_max_length = 0";
    LOG_PARAMETERS_ON_ERROR: Warning, "postgres.log_parameter_max_length_on_error",
        "the log of a failed statement has its lookup",
        "ALTER SYSTEM SET log_parameter_max_length_on_error = 0";
    LOG_MIN_ERROR_STATEMENT: Warning, "postgres.log_min_error_statement",
        "the log has the text of failed statements, so what was attempted, and when",
        "ALTER SYSTEM SET log_min_error_statement = 'panic'";
    LOG_ERROR_VERBOSITY: Warning, "postgres.log_error_verbosity",
        "details of errors quote values of rows, such as the lookup of a session that was deleted while a message came",
        "ALTER SYSTEM SET log_error_verbosity = 'terse'";
    LOG_DURATION: Note, "postgres.log_duration",
        "the log has the exact time of every statement, without its text",
        "ALTER SYSTEM SET log_duration = off";
    DEBUG_PRINT: Warning, "postgres.debug_print",
        "plans in the log can hold lookups",
        "ALTER SYSTEM SET debug_print_parse = off, and likewise debug_print_rewritten and debug_print_plan";
    LOG_FILE_MODE: Warning, "postgres.log_file_mode",
        "other users of the server can read PostgreSQL's log",
        "ALTER SYSTEM SET log_file_mode = '0600', and change the mode of existing files";
    AUTO_EXPLAIN: Serious, "postgres.auto_explain",
        "it logs statements with their plans, in which lookups are",
        "take auto_explain out of the preloaded libraries, or set auto_explain.log_min_duration = -1";
    PGAUDIT: Serious, "postgres.pgaudit",
        "it logs statements with their times",
        "set pgaudit.log = 'none' for this database, and no pgaudit.role";
    STAT_STATEMENTS: Note, "postgres.pg_stat_statements",
        "it counts statements by their text, which has no values: less than what SafeSpace's own metrics have",
        "nothing, or take it out of shared_preload_libraries";
    LIBRARY: Note, "postgres.library",
        "a library in PostgreSQL sees every statement",
        "find out what it keeps of statements and values";

    COMMIT_TIMESTAMP: Serious, "postgres.track_commit_timestamp",
        "every row can be asked for the exact time of its commit, where docs/privacy.md promises an hour",
        "ALTER SYSTEM SET track_commit_timestamp = off, and restart PostgreSQL";
    ARCHIVE: Warning, "postgres.archive_mode",
        "archived log keeps the exact time of each change, and what was deleted, for as long as you keep it",
        "delete archived segments soon, and tell people how long they stay; or set archive_mode = off";
    ARCHIVE_FAILING: Serious, "postgres.archive_failing",
        "PostgreSQL keeps all of its log until it can be archived: the disk fills",
        "mend archive_command, whose error is in PostgreSQL's log";
    SLOT_INACTIVE: Serious, "postgres.slot_inactive",
        "PostgreSQL keeps all of its log for a reader that is not there: what was deleted stays, and the disk fills",
        "connect the standby again, or SELECT pg_drop_replication_slot with that name";
    SLOT_LOGICAL: Warning, "postgres.slot_logical",
        "every change of a row is sent somewhere else, where a deletion may not reach it",
        "find out who reads it; SELECT pg_drop_replication_slot with that name if nobody should";
    WAL_KEEP: Note, "postgres.wal_keep_size",
        "so much old log is kept in any case, with the exact times of changes",
        "ALTER SYSTEM RESET wal_keep_size (wal_keep_segments in PostgreSQL 12), unless a standby needs it";
    WAL_LEVEL: Note, "postgres.wal_level",
        "the log holds more of each row than crash recovery and standbys need, and no slot reads it",
        "ALTER SYSTEM SET wal_level = 'replica', and restart PostgreSQL";
    WAL_COMPRESSION: Note, "postgres.wal_compression",
        "the log takes more time or more room than it must (docs/setup.md, Many sessions)",
        "ALTER SYSTEM SET wal_compression = 'lz4' (from PostgreSQL 15 on)";
    MAX_WAL_SIZE: Warning, "postgres.max_wal_size",
        "PostgreSQL's log can fill the disk while sessions are deleted",
        "lower max_wal_size, or raise STORAGE_RESERVE";

    FSYNC: Serious, "postgres.fsync",
        "a crash of the machine can damage the database or lose all of it",
        "ALTER SYSTEM SET fsync = on";
    FULL_PAGE_WRITES: Serious, "postgres.full_page_writes",
        "a crash of the machine can leave pages that are half old and half new",
        "ALTER SYSTEM SET full_page_writes = on";
    SYNCHRONOUS_COMMIT: Serious, "postgres.synchronous_commit",
        "messages that were acknowledged can be lost, and erased sessions can come back",
        "set synchronous_commit = on, also for the role and the database";
    STANDBY: Serious, "postgres.standby_not_synchronous",
        "a failover loses the last commits, and sessions that were erased come back",
        "set synchronous_standby_names (docs/failover.md)";
    DATA_CHECKSUMS: Note, "postgres.data_checksums",
        "a disk that returns wrong bytes is not noticed",
        "stop PostgreSQL and run pg_checksums --enable";

    TLS: Serious, "postgres.tls",
        "anyone on the network path to PostgreSQL can read statements, and the password unless it is hashed",
        "set ssl = on in PostgreSQL, and DB_SSLMODE=verify-full";
    SSL_MODE: Warning, "postgres.sslmode",
        "someone on the network can impersonate the server",
        "set DB_SSLMODE=verify-full and DB_SSLROOTCERT (docs/setup.md, TLS to PostgreSQL)";
    SUPERUSER: Serious, "postgres.superuser",
        "who takes over the service, or its password, has the whole server",
        "serve with a role of its own (docs/setup.md, Roles with least privilege)";
    ROLE_ATTRIBUTES: Warning, "postgres.role_attributes",
        "serving needs none of them",
        "ALTER ROLE … NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS";
    ROLE_MEMBERSHIPS: Warning, "postgres.role_memberships",
        "serving needs none but pg_read_all_settings",
        "REVOKE them from the role";
    OWNER: Note, "postgres.owner",
        "who takes over the service can change the schema",
        "serve with a second role (docs/setup.md, Roles with least privilege)";
    PRIVILEGES: Warning, "postgres.privileges",
        "serving does not need them",
        "REVOKE them, and leave what docs/setup.md grants";
    PUBLIC: Warning, "postgres.public",
        "every role of this server has it",
        "REVOKE ALL ON DATABASE and ON SCHEMA FROM PUBLIC, as docs/setup.md has it";

    CONNECTIONS: Warning, "postgres.connections",
        "under load requests get 503",
        "raise max_connections, or the limit of the role or the database, or lower DB_POOL_MAX_SIZE";
    CONNECTIONS_LEFT: Warning, "postgres.connections_left",
        "soon nobody can connect, not even to mend it",
        "end connections that nobody uses (pg_stat_activity), or raise max_connections";
    AUTOVACUUM: Serious, "postgres.autovacuum",
        "deleted rows stay in the tables until somebody vacuums",
        "ALTER SYSTEM SET autovacuum = on, and track_counts = on; ALTER TABLE … RESET (autovacuum_enabled)";
    AUTOVACUUM_NAPTIME: Warning, "postgres.autovacuum_naptime",
        "deleted rows stay in the tables for longer than docs/privacy.md says",
        "ALTER SYSTEM SET autovacuum_naptime = '1min'";
    DEAD_ROWS: Warning, "postgres.dead_rows",
        "deleted rows stay in the tables: autovacuum does not come, or a transaction holds it up",
        "look for old transactions in pg_stat_activity, then VACUUM the table";
    OLD_TRANSACTION: Warning, "postgres.old_transaction",
        "autovacuum cannot remove what was deleted since it began",
        "end it: pg_stat_activity or pg_prepared_xacts names it";
    FROZEN_AGE: Serious, "postgres.frozen_age",
        "at 2,100 million PostgreSQL stops to accept writes",
        "VACUUM the database, and find out why autovacuum does not";
    BLOAT: Warning, "postgres.bloat",
        "most of the table's file is room of deleted rows, some of which may still hold their bytes",
        "VACUUM FULL the table when there is little to do (it locks the table)";
    VERSION: Warning, "postgres.version",
        "its security faults are not mended any more",
        "upgrade to a newer major version";
}
