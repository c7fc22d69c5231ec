-- The version of the extension Citus. No row without it.
SELECT extversion FROM pg_extension WHERE extname = 'citus'
