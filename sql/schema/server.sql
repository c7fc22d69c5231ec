-- The server's version, the TLS version of this connection (NULL without TLS), and how many connections the server, the database
-- and the role allow. The limits of the last two do not hold for a superuser.
SELECT current_setting('server_version') AS version,
    (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls,
    (
        SELECT min(allowed) FROM (
            SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            UNION ALL SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user AND NOT rolsuper
            UNION ALL SELECT datconnlimit FROM pg_database, pg_roles
                WHERE datname = current_database() AND rolname = session_user AND NOT rolsuper
        ) AS limits (allowed) WHERE allowed >= 0
    ) AS max_connections
