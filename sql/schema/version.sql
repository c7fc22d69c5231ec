-- The newest migration applied. Fails with 42P01 (undefined_table) on a database that was never migrated.
SELECT max(version) FROM refinery_schema_history
