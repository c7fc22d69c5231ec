-- Both ends of the connection as PostgreSQL's process sees them, and that process. Through a Unix socket there are no addresses.
SELECT host(inet_client_addr()) AS client_address, inet_client_port() AS client_port,
    host(inet_server_addr()) AS server_address, inet_server_port() AS server_port, pg_backend_pid() AS process
