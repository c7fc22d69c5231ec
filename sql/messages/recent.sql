-- A session and its newest messages, at most $2, until they have $3 sealed bytes together, in the order of positions. A
-- session without messages is one row with NULLs, an unknown session none. is_stale: whether its hour of the last use is over.
-- Positions have no gaps, so the range has $2 messages. With a LIMIT instead of the range, a planner without statistics
-- reads and sorts the whole session.
SELECT session.id AS session_id, session.sealed AS session_sealed, session.idle_timeout_seconds, session.last_report,
    newest.position, newest.id AS message_id, newest.sealed, newest.total_bytes,
    session.last_used_hour < floor(extract(epoch FROM now()) / 3600)::integer AS is_stale
FROM sessions AS session
LEFT JOIN (
    SELECT messages.*, sum(octet_length(sealed)) OVER (ORDER BY position DESC) - octet_length(sealed) AS bytes_behind
    FROM messages
    WHERE session_id = $1::uuid AND position > (
        SELECT position - $2::integer FROM messages WHERE session_id = $1::uuid ORDER BY position DESC LIMIT 1
    )
) AS newest ON newest.bytes_behind < $3::bigint
WHERE session.id = $1::uuid
ORDER BY newest.position
