-- The tables of the schema, those first that others refer to: the column whose value chooses the shard (NULL for a reference table,
-- which every node has), and whether Citus distributes the table so. NULL where it does not distribute it at all.
WITH wanted (number, name, column_name) AS (
    VALUES (1, 'sessions', 'id'), (2, 'messages', 'session_id'), (3, 'reports', 'session_id'), (4, 'turns', 'session_id'),
        (5, 'refinery_schema_history', NULL), (6, 'compatibility', NULL)
)
SELECT wanted.name, wanted.column_name, CASE
        WHEN wanted.column_name IS NULL THEN partitions.partmethod = 'n' AND partitions.repmodel = 't'
        ELSE partitions.partmethod = 'h' AND partitions.colocationid = sessions.colocationid
            AND column_to_column_name(partitions.logicalrelid, partitions.partkey) = wanted.column_name
    END AS is_as_wanted
FROM wanted
LEFT JOIN pg_dist_partition AS partitions ON partitions.logicalrelid = to_regclass(wanted.name)
LEFT JOIN pg_dist_partition AS sessions ON sessions.logicalrelid = to_regclass('sessions')
ORDER BY wanted.number
