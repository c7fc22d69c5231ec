-- The columns of this database in which the key of a session's rows can be, or sealed bytes: table and column as statements name them,
-- the type ('uuid' or 'bytea'), whether this role may read it, and the table's number. Not those of PostgreSQL itself, nor of other
-- sessions' temporary tables. A partitioned table has its rows in its partitions.
SELECT format('%I.%I', namespaces.nspname, tables.relname) AS table_name, quote_ident(columns.attname) AS column_name,
    types.typname::text AS type_name, tables.oid AS number,
    has_column_privilege(tables.oid, columns.attnum, 'SELECT') AND has_schema_privilege(namespaces.oid, 'USAGE') AS is_readable
FROM pg_attribute AS columns
JOIN pg_class AS tables ON tables.oid = columns.attrelid
JOIN pg_namespace AS namespaces ON namespaces.oid = tables.relnamespace
JOIN pg_type AS declared ON declared.oid = columns.atttypid
JOIN pg_type AS types ON types.oid = coalesce(nullif(declared.typbasetype, 0), declared.oid)
WHERE types.oid IN ('uuid'::regtype, 'bytea'::regtype) AND columns.attnum > 0 AND NOT columns.attisdropped
    AND tables.relkind IN ('r', 'm') AND tables.relpersistence <> 't'
    AND namespaces.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY table_name, columns.attnum
