-- The same for several. Locks are taken in the order of ids, as everywhere, so that statements on several sessions do not wait
-- for each other in a circle.
DELETE FROM sessions
USING (SELECT id FROM sessions WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE) AS locked
WHERE sessions.id = locked.id
RETURNING sessions.id
