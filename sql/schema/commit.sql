-- Commits a record of the write-ahead log that changes no table, so that it is over when PostgreSQL acknowledges commits: as for a
-- message, after the disk and the synchronous standbys have it. Any role may do it.
SELECT pg_logical_emit_message(true, 'safespace', ''::text)
