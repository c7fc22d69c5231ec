-- The server's version, and the TLS version of this connection: NULL without TLS.
SELECT current_setting('server_version') AS version,
       (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls
