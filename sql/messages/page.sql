-- Which positions a page has, and its last messages until they have $4 sealed bytes together, at least one and at most $5;
-- with the last of them the session and its newest message. The last row comes first. The page ends before the message $2 (NULL:
-- behind the newest message) and has at most $3 messages. A page without messages is one row with NULLs, an unknown session none.
-- before_exists: false where the session has no message $2.
SELECT page_end.position IS NOT NULL AS before_exists, page.first, page_end.position - 1 AS last,
    found.position, found.id AS message_id, found.sealed, found.total_bytes,
    last_row.session_sealed, last_row.idle_timeout_seconds, last_row.last_report, last_row.newest_position,
    last_row.newest_id, last_row.newest_sealed, last_row.newest_total_bytes
FROM sessions AS session
LEFT JOIN LATERAL (
    SELECT * FROM messages WHERE session_id = $1::uuid ORDER BY position DESC LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    (SELECT position FROM messages WHERE session_id = $1::uuid AND id = $2::uuid LIMIT 1)
    UNION ALL
    (SELECT coalesce(newest.position, 0) + 1 WHERE $2::uuid IS NULL)
) AS page_end ON true
LEFT JOIN LATERAL (
    SELECT greatest(page_end.position - $3::integer, 1) AS first WHERE page_end.position IS NOT NULL
) AS page ON true
LEFT JOIN LATERAL (
    SELECT messages.*, sum(octet_length(sealed)) OVER (ORDER BY position DESC) AS bytes
    FROM messages
    WHERE session_id = $1::uuid AND position < page_end.position
        AND position >= greatest(page.first, page_end.position::bigint - $5::integer)
) AS found ON found.bytes <= $4::bigint OR found.position = page_end.position - 1
LEFT JOIN LATERAL (
    SELECT session.sealed AS session_sealed, session.idle_timeout_seconds, session.last_report,
        newest.position AS newest_position, newest.id AS newest_id, newest.sealed AS newest_sealed,
        newest.total_bytes AS newest_total_bytes
    WHERE found.position IS NULL OR found.position = page_end.position - 1
) AS last_row ON true
WHERE session.id = $1::uuid
ORDER BY found.position DESC
