-- One server; distributed: messages/find.sql
-- Those of the two messages of each turn that exist. Each array has one value per turn: its session, and the ids of its
-- question and its answer.
SELECT stored.session_id, stored.position, stored.id AS message_id, stored.sealed, stored.total_bytes
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS asked (session_id, question, answer)
CROSS JOIN LATERAL unnest(ARRAY[asked.question, asked.answer]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT * FROM messages WHERE messages.session_id = asked.session_id AND messages.id = wanted.id LIMIT 1
) AS stored
