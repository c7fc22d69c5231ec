-- What holds on this connection of the settings that the service sends when it opens one. Times are in milliseconds, 0 for none.
SELECT name, setting FROM pg_settings
WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'enable_seqscan', 'jit') ORDER BY name DESC
