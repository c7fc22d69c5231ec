-- Each array has one reader's part at each place. Each is given the newest messages of a session before one of them (before,
-- or NULL), at most so many (most), until they have $4 bytes together, in their order. There is one row with NULLs for a session
-- without such messages, and none for no session. is_known says whether there is a message to be before.
SELECT asked.place, edge.is_known, found.position, found.id, found.sealed
FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) WITH ORDINALITY AS asked (session_id, before, most, place)
JOIN sessions ON sessions.id = asked.session_id
CROSS JOIN LATERAL (
    SELECT asked.before IS NULL OR count(*) > 0 AS is_known, coalesce(min(position), 2147483647) AS position
    FROM messages
    WHERE asked.before IS NOT NULL AND session_id = asked.session_id AND id = asked.before
) AS edge
LEFT JOIN LATERAL (
    SELECT *, sum(octet_length(sealed)) OVER (ORDER BY position DESC) - octet_length(sealed) AS bytes_behind
    FROM (
        SELECT position, id, sealed FROM messages
        WHERE session_id = asked.session_id AND position < edge.position
        ORDER BY position DESC LIMIT asked.most
    ) AS last
) AS found ON found.bytes_behind < $4::bigint
ORDER BY asked.place, found.position
