-- Asks the instance that answers a session to stop its turn; no row where none does.
UPDATE turns SET is_stopped = true WHERE session_id = $1::uuid AND ends_at > now() RETURNING session_id, claim
