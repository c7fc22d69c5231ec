-- One server; distributed: messages/read.sql
-- read.sql for several requests. Each array has one value per request.
SELECT asked.request_number, found.position, found.id AS message_id, found.sealed, found.total_bytes
FROM unnest($1::uuid[], $2::integer[], $3::integer[]) WITH ORDINALITY AS asked (session_id, first, last, request_number)
CROSS JOIN LATERAL (
    SELECT messages.*, sum(octet_length(sealed)) OVER (ORDER BY position) AS bytes
    FROM messages
    WHERE session_id = asked.session_id AND position >= asked.first
        AND position <= least(asked.last, asked.first::bigint + $5::integer - 1)
) AS found
WHERE found.bytes <= $4::bigint OR found.position = asked.first
ORDER BY asked.request_number, found.position
