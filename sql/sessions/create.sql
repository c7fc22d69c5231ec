INSERT INTO sessions (id, sealed) VALUES ($1, $2)
