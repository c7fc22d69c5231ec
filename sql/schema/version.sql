-- The newest migration applied. Fails with 42P01 (undefined_table) on a database that was never migrated.
SELECT version, name FROM refinery_schema_history ORDER BY version DESC LIMIT 1
