-- The newest migration applied, and the name of the first. Fails with 42P01 (undefined_table) on a database that was never
-- migrated.
SELECT version, first_value(name) OVER (ORDER BY version) AS first_name
FROM refinery_schema_history ORDER BY version DESC LIMIT 1
