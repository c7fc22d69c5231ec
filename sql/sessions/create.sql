INSERT INTO sessions (id, sealed, idle_timeout_seconds) VALUES ($1, $2, $3)
