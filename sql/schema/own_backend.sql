-- Whether this process of PostgreSQL has the settings of a connector, of which $1 is the random one, and has them from the client, as it
-- connected: then it serves this program alone. A pooler drops such settings. One that repeats them later, with SET, leaves another
-- source.
SELECT coalesce(current_setting('safespace.connection', true) = $1::text, false)
    AND EXISTS (SELECT FROM pg_settings WHERE name = 'statement_timeout' AND source = 'client') AS is_own
