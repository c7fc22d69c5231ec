-- A session with its newest message, and the places of its reports, the newest first. A session without reports is one row with
-- NULLs, an unknown session none.
SELECT session.sealed AS session_sealed, session.idle_timeout_seconds, session.last_report, newest.position,
    newest.id AS message_id, newest.sealed, newest.total_bytes, reports.position AS report_position, reports.id AS report_id
FROM sessions AS session
LEFT JOIN LATERAL (
    SELECT * FROM messages WHERE session_id = $1::uuid ORDER BY position DESC LIMIT 1
) AS newest ON true
LEFT JOIN reports ON reports.session_id = $1::uuid
WHERE session.id = $1::uuid
ORDER BY reports.position DESC
