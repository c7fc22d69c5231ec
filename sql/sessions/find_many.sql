-- One server; distributed: sessions/find.sql
-- The sessions that exist, and the newest message of each: NULLs where there is none.
SELECT sessions.id, sessions.sealed AS session_sealed, sessions.idle_timeout_seconds, sessions.last_report,
    newest.position, newest.id AS message_id, newest.sealed, newest.total_bytes
FROM sessions LEFT JOIN LATERAL (
    SELECT * FROM messages WHERE session_id = sessions.id ORDER BY position DESC LIMIT 1
) AS newest ON true
WHERE sessions.id = ANY($1::uuid[])
