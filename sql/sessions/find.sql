-- A session, if it exists, and its newest message: NULLs where there is none.
SELECT session.id, session.sealed AS session_sealed, session.idle_timeout_seconds, session.last_report,
    newest.position, newest.id AS message_id, newest.sealed, newest.total_bytes
FROM sessions AS session LEFT JOIN LATERAL (
    SELECT * FROM messages WHERE session_id = $1::uuid ORDER BY position DESC LIMIT 1
) AS newest ON true
WHERE session.id = $1::uuid
