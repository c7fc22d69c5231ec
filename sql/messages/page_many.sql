-- One server; distributed: messages/page.sql
-- page.sql for several requests. Each array has one value per request.
SELECT asked.request_number, page_end.position IS NOT NULL AS before_exists, page.first, page_end.position - 1 AS last,
    found.position, found.id AS message_id, found.sealed, found.total_bytes,
    last_row.session_sealed, last_row.idle_timeout_seconds, last_row.last_report, last_row.newest_position,
    last_row.newest_id, last_row.newest_sealed, last_row.newest_total_bytes
FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) WITH ORDINALITY AS asked (session_id, before, most, request_number)
CROSS JOIN LATERAL (SELECT * FROM sessions WHERE id = asked.session_id LIMIT 1) AS session
LEFT JOIN LATERAL (
    SELECT * FROM messages WHERE session_id = session.id ORDER BY position DESC LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    (SELECT position FROM messages WHERE session_id = session.id AND id = asked.before LIMIT 1)
    UNION ALL
    (SELECT coalesce(newest.position, 0) + 1 WHERE asked.before IS NULL)
) AS page_end ON true
LEFT JOIN LATERAL (
    SELECT greatest(page_end.position - asked.most, 1) AS first WHERE page_end.position IS NOT NULL
) AS page ON true
LEFT JOIN LATERAL (
    SELECT messages.*, sum(octet_length(sealed)) OVER (ORDER BY position DESC) AS bytes
    FROM messages
    WHERE session_id = session.id AND position < page_end.position
        AND position >= greatest(page.first, page_end.position::bigint - $5::integer)
) AS found ON found.bytes <= $4::bigint OR found.position = page_end.position - 1
LEFT JOIN LATERAL (
    SELECT session.sealed AS session_sealed, session.idle_timeout_seconds, session.last_report,
        newest.position AS newest_position, newest.id AS newest_id, newest.sealed AS newest_sealed,
        newest.total_bytes AS newest_total_bytes
    WHERE found.position IS NULL OR found.position = page_end.position - 1
) AS last_row ON true
ORDER BY asked.request_number, found.position DESC
