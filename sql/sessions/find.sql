SELECT id, sealed FROM sessions WHERE id = ANY($1::uuid[])
