-- The newest messages of a session, at most $2, until they have $3 sealed bytes together, in the order of positions.
SELECT session_id, position, id, sealed
FROM (
    SELECT *, sum(octet_length(sealed)) OVER (ORDER BY position DESC) - octet_length(sealed) AS bytes_behind
    FROM (SELECT * FROM messages WHERE session_id = $1::uuid ORDER BY position DESC LIMIT $2::integer) AS last
) AS newest
WHERE bytes_behind < $3::bigint
ORDER BY position
