INSERT INTO sessions (id, created_at) VALUES ($1, $2)
