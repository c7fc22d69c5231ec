-- One server; distributed: messages/recent.sql
-- recent.sql for several sessions.
SELECT session.id AS session_id, session.sealed AS session_sealed, session.idle_timeout_seconds, session.last_report,
    newest.position, newest.id AS message_id, newest.sealed, newest.total_bytes,
    session.last_used_hour < floor(extract(epoch FROM now()) / 3600)::integer AS is_stale
FROM (SELECT DISTINCT unnest($1::uuid[])) AS asked (session_id)
CROSS JOIN LATERAL (SELECT * FROM sessions WHERE id = asked.session_id LIMIT 1) AS session
LEFT JOIN LATERAL (
    SELECT position FROM messages WHERE session_id = session.id ORDER BY position DESC LIMIT 1
) AS last ON true
LEFT JOIN LATERAL (
    SELECT messages.*, sum(octet_length(sealed)) OVER (ORDER BY position DESC) - octet_length(sealed) AS bytes_behind
    FROM messages
    WHERE session_id = session.id AND position > last.position - $2::integer
) AS newest ON newest.bytes_behind < $3::bigint
ORDER BY session.id, newest.position
