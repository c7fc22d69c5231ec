-- Writes the hour of the last use of sessions, where it is lower. The result has no rows. Locks are taken in the order of ids,
-- as everywhere, so that concurrent statements do not deadlock.
WITH locked AS (
    SELECT id, last_used_hour FROM sessions WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
)
UPDATE sessions SET last_used_hour = DEFAULT
FROM locked
WHERE sessions.id = locked.id AND locked.last_used_hour < floor(extract(epoch FROM now()) / 3600)::integer
