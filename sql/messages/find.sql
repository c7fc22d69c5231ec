-- Each array has one turn's part at each place: its session and the ids of its two messages. Those that are there. The index
-- has the ids, so of the other messages of a session no row is looked at.
SELECT messages.session_id, messages.position, messages.id, messages.sealed
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS asked (session_id, question, answer)
JOIN messages ON messages.session_id = asked.session_id AND messages.position IN (
    SELECT position FROM messages AS indexed
    WHERE indexed.session_id = asked.session_id AND indexed.id IN (asked.question, asked.answer)
)
