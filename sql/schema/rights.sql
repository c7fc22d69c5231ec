-- The role, whether this session can only read, whether its role may migrate the schema (create in it, and own what is there), and the
-- privileges that serving needs and the role lacks, such as 'INSERT ON messages'. FOR UPDATE and FOR KEY SHARE need UPDATE. A
-- privilege on some columns counts. A table that does not exist, or that is in no schema of the search path, lacks all of them.
WITH needed (name, privilege) AS (
    VALUES ('refinery_schema_history', 'SELECT'), ('compatibility', 'SELECT'),
        ('sessions', 'SELECT'), ('sessions', 'INSERT'), ('sessions', 'UPDATE'), ('sessions', 'DELETE'),
        ('messages', 'SELECT'), ('messages', 'INSERT'),
        ('reports', 'SELECT'), ('reports', 'INSERT'), ('reports', 'UPDATE'), ('reports', 'DELETE'),
        ('turns', 'SELECT'), ('turns', 'INSERT'), ('turns', 'UPDATE'), ('turns', 'DELETE')
), held AS (
    SELECT name, privilege, CASE privilege
            WHEN 'DELETE' THEN has_table_privilege(to_regclass(name), privilege)
            ELSE has_any_column_privilege(to_regclass(name), privilege)
        END AS is_held
    FROM needed
)
SELECT current_user AS role, current_setting('transaction_read_only') = 'on' AS read_only,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AND NOT EXISTS (
        SELECT FROM pg_class WHERE oid IN (SELECT to_regclass(name) FROM needed) AND NOT pg_has_role(relowner, 'USAGE')
    ) AS may_migrate,
    ARRAY(
        SELECT string_agg(privilege, ', ') || ' ON ' || name FROM held WHERE is_held IS NOT TRUE GROUP BY name ORDER BY name
    ) AS missing
