-- One page per request, in the order of positions: the newest messages before the message `before` (NULL for the newest
-- page), at most `most`, until they have $4 sealed bytes together. Each array has one value per request. A session without
-- such messages gives one row of NULLs, an unknown session none. is_known: whether the message `before` exists.
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
