-- recent.sql for several sessions.
SELECT newest.session_id, newest.position, newest.id, newest.sealed, newest.total_bytes
FROM (SELECT DISTINCT unnest($1::uuid[])) AS asked (session_id)
CROSS JOIN LATERAL (
    SELECT position FROM messages WHERE session_id = asked.session_id ORDER BY position DESC LIMIT 1
) AS last
CROSS JOIN LATERAL (
    SELECT messages.*, sum(octet_length(sealed)) OVER (ORDER BY position DESC) - octet_length(sealed) AS bytes_behind
    FROM messages
    WHERE session_id = asked.session_id AND position > last.position - $2::integer
) AS newest
WHERE newest.bytes_behind < $3::bigint
ORDER BY newest.session_id, newest.position
