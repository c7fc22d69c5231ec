SELECT created_at FROM sessions WHERE id = $1
