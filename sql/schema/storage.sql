-- The size of this database, the folder of the server's data (NULL where this role may not read it), and the size at which
-- the write-ahead log causes a checkpoint, all sizes in bytes.
SELECT pg_database_size(current_database()) AS database_bytes,
       CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END AS data_folder,
       pg_size_bytes(current_setting('max_wal_size')) AS max_wal_bytes
