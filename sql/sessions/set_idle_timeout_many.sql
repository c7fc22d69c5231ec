-- One server; distributed: sessions/set_idle_timeout.sql
-- Changes the timeouts of sessions that the transaction has locked; NULL for the operator's. Each array has one value per session,
-- without any session twice.
UPDATE sessions SET idle_timeout_seconds = wanted.seconds
FROM unnest($1::uuid[], $2::integer[]) AS wanted (id, seconds)
WHERE sessions.id = wanted.id AND sessions.id = ANY($1::uuid[])
RETURNING sessions.id
