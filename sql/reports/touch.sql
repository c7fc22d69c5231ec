-- Notes in a session that the transaction has locked when a report was made or changed, sealed, and the hour of the last use.
UPDATE sessions SET last_report = $2::bytea, last_used_hour = floor(extract(epoch FROM now()) / 3600)::integer
WHERE id = $1::uuid
