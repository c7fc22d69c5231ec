-- The newest messages of a session, at most $2, until they have $3 sealed bytes together, in the order of positions.
-- Positions have no gaps, so the range has $2 messages. With a LIMIT instead of the range, a planner without statistics
-- reads and sorts the whole session.
SELECT session_id, position, id, sealed, total_bytes
FROM (
    SELECT messages.*, sum(octet_length(sealed)) OVER (ORDER BY position DESC) - octet_length(sealed) AS bytes_behind
    FROM messages
    WHERE session_id = $1::uuid AND position > (
        SELECT position - $2::integer FROM messages WHERE session_id = $1::uuid ORDER BY position DESC LIMIT 1
    )
) AS newest
WHERE bytes_behind < $3::bigint
ORDER BY position
