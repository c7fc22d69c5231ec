-- Writes the hour of the last use of a session, where it is lower. The result has no rows.
UPDATE sessions SET last_used_hour = floor(extract(epoch FROM now()) / 3600)::integer
WHERE id = $1::uuid AND last_used_hour < floor(extract(epoch FROM now()) / 3600)::integer
