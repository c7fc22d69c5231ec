-- Changes the timeouts of sessions; NULL for the operator's. Each array has one value per session, without any session twice.
-- Locks are taken in the order of ids, as everywhere, so that concurrent statements do not deadlock.
WITH wanted AS (
    SELECT * FROM unnest($1::uuid[], $2::integer[]) AS wanted (id, seconds)
), locked AS (
    SELECT id FROM sessions WHERE id IN (SELECT id FROM wanted) ORDER BY id FOR NO KEY UPDATE
)
UPDATE sessions SET idle_timeout_seconds = wanted.seconds
FROM locked JOIN wanted ON wanted.id = locked.id
WHERE sessions.id = locked.id
RETURNING sessions.id
