-- Those of the two messages of each turn that exist. Each array has one value per turn: its session, and the ids of its
-- question and its answer. The index includes the ids, so no row of another message is read.
SELECT messages.session_id, messages.position, messages.id, messages.sealed
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS asked (session_id, question, answer)
JOIN messages ON messages.session_id = asked.session_id AND messages.position IN (
    SELECT position FROM messages AS indexed
    WHERE indexed.session_id = asked.session_id AND indexed.id IN (asked.question, asked.answer)
)
