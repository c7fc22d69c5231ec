-- The messages of a session at the positions from $2 to $3, until they have $4 sealed bytes together, at least one and at most $5.
-- OFFSET keeps the positions from the planner: where statistics say that sessions are short, it would read the whole session.
SELECT found.position, found.id AS message_id, found.sealed, found.total_bytes
FROM (SELECT $2::integer AS first, $3::integer AS last OFFSET 0) AS asked
CROSS JOIN LATERAL (
    SELECT messages.*, sum(octet_length(sealed)) OVER (ORDER BY position) AS bytes
    FROM messages
    WHERE session_id = $1::uuid AND position >= asked.first
        AND position <= least(asked.last, asked.first::bigint + $5::integer - 1)
) AS found
WHERE found.bytes <= $4::bigint OR found.position = asked.first
ORDER BY found.position
