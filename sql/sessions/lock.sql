-- Waits for the lock of a session that is deleted alone, of any size. No row if it does not exist.
SELECT id FROM sessions WHERE id = $1::uuid FOR UPDATE
