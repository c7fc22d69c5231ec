-- recent.sql for several sessions.
SELECT newest.session_id, newest.position, newest.id, newest.sealed
FROM (SELECT DISTINCT unnest($1::uuid[])) AS asked (session_id)
CROSS JOIN LATERAL (
    SELECT *, sum(octet_length(sealed)) OVER (ORDER BY position DESC) - octet_length(sealed) AS bytes_behind
    FROM (
        SELECT * FROM messages WHERE messages.session_id = asked.session_id ORDER BY position DESC LIMIT $2::integer
    ) AS last
) AS newest
WHERE newest.bytes_behind < $3::bigint
ORDER BY newest.session_id, newest.position
