-- One server; distributed: messages/append.sql turns/claim.sql
-- exchange.sql for several turns, of different sessions. Each array has one value per turn. Locks are taken in the order of ids, as
-- everywhere, so that concurrent statements do not deadlock.
WITH wanted AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::integer[], $3::uuid[], $4::bytea[], $5::bigint[], $6::uuid[], $7::bytea[], $8::bigint[]
    ) AS wanted (session_id, position, id, sealed, total_bytes, answer_id, answer_sealed, answer_total_bytes)
), locked AS (
    SELECT id FROM sessions WHERE id = ANY($1::uuid[]) ORDER BY id FOR KEY SHARE
), question AS (
    INSERT INTO messages (session_id, position, id, sealed, total_bytes)
    SELECT session_id, position, wanted.id, sealed, total_bytes FROM wanted JOIN locked ON locked.id = session_id
    WHERE NOT EXISTS (
        SELECT FROM turns WHERE turns.session_id = wanted.session_id AND turns.session_id = ANY($1::uuid[])
            AND (turns.position >= wanted.position OR turns.position + 1 = wanted.position AND ends_at >= now())
    )
    ORDER BY session_id
    ON CONFLICT DO NOTHING
    RETURNING session_id
), answer AS (
    INSERT INTO messages (session_id, position, id, sealed, total_bytes)
    SELECT session_id, position + 1, answer_id, answer_sealed, answer_total_bytes FROM question JOIN wanted USING (session_id)
    ORDER BY session_id
)
SELECT locked.id AS session_id, question.session_id IS NOT NULL AS is_stored
FROM locked LEFT JOIN question ON question.session_id = locked.id
