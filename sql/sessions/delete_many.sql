-- delete.sql for several sessions. Locks are taken in the order of ids, as everywhere, so that concurrent statements do not
-- deadlock.
DELETE FROM sessions
USING (SELECT id FROM sessions WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE) AS locked
WHERE sessions.id = locked.id
RETURNING sessions.id
