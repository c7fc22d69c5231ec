-- Whether this process of PostgreSQL serves the connection $1 alone: it got the connection's random setting from the client, when that
-- connected. A pooler drops such settings. One that repeats them later, with SET, leaves another source.
SELECT coalesce(current_setting('safespace.connection', true) = $1::text, false)
    AND EXISTS (SELECT FROM pg_settings WHERE name = 'statement_timeout' AND source = 'client') AS is_own
