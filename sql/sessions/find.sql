SELECT id, created_at FROM sessions WHERE id = ANY($1::uuid[])
