-- Where the server has its data and its log (NULL where this role may not read it), and whether a program of its own collects the log.
SELECT CASE WHEN is_allowed THEN current_setting('data_directory') END AS data_folder,
    CASE WHEN is_allowed THEN current_setting('log_directory') END AS log_folder,
    current_setting('logging_collector')::boolean AS has_collector
FROM (SELECT pg_has_role('pg_read_all_settings', 'USAGE')) AS role (is_allowed)
