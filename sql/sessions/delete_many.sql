-- One server; distributed: sessions/delete.sql
-- delete.sql for several sessions that the transaction has locked.
DELETE FROM sessions
USING unnest($1::uuid[]) AS locked (id) LEFT JOIN LATERAL (
    SELECT * FROM messages WHERE session_id = locked.id ORDER BY position DESC LIMIT 1
) AS newest ON true CROSS JOIN LATERAL (
    SELECT count(*) AS reports FROM reports WHERE session_id = locked.id
) AS counted
WHERE sessions.id = locked.id AND sessions.id = ANY($1::uuid[])
RETURNING sessions.id, sessions.sealed AS session_sealed, sessions.idle_timeout_seconds, sessions.last_report,
    newest.position, newest.id AS message_id, newest.sealed, newest.total_bytes, counted.reports
