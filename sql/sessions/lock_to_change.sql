-- Locks a session whose rows the transaction changes. No row if it does not exist.
SELECT id FROM sessions WHERE id = $1::uuid FOR NO KEY UPDATE
