-- Deletes a session of any size, and waits for its lock. The foreign keys of the other tables cascade.
DELETE FROM sessions WHERE id = $1::uuid RETURNING id
