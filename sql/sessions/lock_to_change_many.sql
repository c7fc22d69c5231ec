-- One server; distributed: sessions/touch.sql sessions/set_idle_timeout.sql
-- Locks the sessions that the next statement of the transaction changes, in the order of ids, as everywhere. Locking and changing
-- in one statement can deadlock on a single row: where that was changed since the statement's snapshot, the change waits for the
-- newer version, while others wait for the lock that this statement holds already.
SELECT FROM sessions WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
