-- What the role that logged in may do beyond what docs/setup.md grants: its attributes, the other roles that it is in, privileges
-- on the tables, the schema and the database; and what PUBLIC may do there. For a superuser, who may do everything, the lists are empty.
WITH tables (name, needed) AS (
    VALUES ('refinery_schema_history', '{SELECT}'::text[]), ('compatibility', '{SELECT}'),
        ('sessions', '{SELECT,INSERT,UPDATE,DELETE}'), ('messages', '{SELECT,INSERT}'),
        ('reports', '{SELECT,INSERT,UPDATE,DELETE}'), ('turns', '{SELECT,INSERT,UPDATE,DELETE}')
), privileges (name) AS (
    VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')
)
SELECT rolname::text AS role, rolsuper AS is_superuser,
    array_remove(ARRAY[
        CASE WHEN rolcreaterole THEN 'CREATEROLE' END, CASE WHEN rolcreatedb THEN 'CREATEDB' END,
        CASE WHEN rolreplication THEN 'REPLICATION' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END
    ], NULL) AS attributes,
    ARRAY(
        SELECT other.rolname::text FROM pg_roles AS other
        WHERE NOT login.rolsuper AND other.oid <> login.oid AND pg_has_role(login.oid, other.oid, 'MEMBER')
            AND other.rolname NOT IN ('pg_read_all_settings', 'pg_database_owner')
        ORDER BY other.rolname
    ) AS memberships,
    ARRAY(
        SELECT string_agg(privileges.name, ', ') || ' ON ' || tables.name FROM tables, privileges
        WHERE NOT login.rolsuper AND privileges.name <> ALL (needed)
            AND has_table_privilege(login.oid, to_regclass(tables.name), privileges.name)
        GROUP BY tables.name ORDER BY tables.name
    ) || array_remove(ARRAY[
        CASE WHEN NOT rolsuper AND has_schema_privilege(login.oid, current_schema(), 'CREATE') THEN 'CREATE ON SCHEMA' END,
        CASE WHEN NOT rolsuper AND has_database_privilege(login.oid, current_database(), 'CREATE') THEN 'CREATE ON DATABASE' END
    ], NULL) AS privileges,
    EXISTS (
        SELECT FROM pg_class WHERE oid IN (SELECT to_regclass(name) FROM tables) AND pg_has_role(login.oid, relowner, 'MEMBER')
    ) AS is_owner,
    ARRAY(
        SELECT string_agg(privileges.name, ', ') || ' ON ' || tables.name FROM tables, privileges
        WHERE has_table_privilege('public', to_regclass(tables.name), privileges.name) GROUP BY tables.name ORDER BY tables.name
    ) || array_remove(ARRAY[
        CASE WHEN has_database_privilege('public', current_database(), 'CONNECT') THEN 'CONNECT ON DATABASE' END,
        CASE WHEN has_database_privilege('public', current_database(), 'TEMPORARY') THEN 'TEMPORARY ON DATABASE' END,
        CASE WHEN has_schema_privilege('public', current_schema(), 'USAGE') THEN 'USAGE ON SCHEMA' END,
        CASE WHEN has_schema_privilege('public', current_schema(), 'CREATE') THEN 'CREATE ON SCHEMA' END
    ], NULL) AS public
FROM pg_roles AS login WHERE rolname = session_user
