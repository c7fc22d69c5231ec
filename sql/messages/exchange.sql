-- One server; distributed: messages/append.sql turns/claim.sql
-- Stores a question at the position $2 and its answer behind it: both, or none.
-- Nothing is stored where a turn has the claim, as ask.sql says, and where the position or the id of the question is taken: these are
-- unique, so of two statements at once one stores. It takes no claim, and does not see one that another transaction takes at
-- the same moment for the question before (claim.sql): both are stored here, and that turn finds its position taken.
-- No row if the session does not exist. Its lock comes first, as everywhere.
WITH locked AS (
    SELECT id FROM sessions WHERE id = $1::uuid FOR KEY SHARE
), question AS (
    INSERT INTO messages (session_id, position, id, sealed, total_bytes)
    SELECT id, $2::integer, $3::uuid, $4::bytea, $5::bigint FROM locked
    WHERE NOT EXISTS (
        SELECT FROM turns WHERE session_id = $1::uuid
            AND (turns.position >= $2::integer OR turns.position + 1 = $2::integer AND ends_at >= now())
    )
    ON CONFLICT DO NOTHING
    RETURNING session_id
), answer AS (
    INSERT INTO messages (session_id, position, id, sealed, total_bytes)
    SELECT session_id, $2::integer + 1, $6::uuid, $7::bytea, $8::bigint FROM question
)
SELECT $1::uuid AS session_id, EXISTS (SELECT FROM question) AS is_stored FROM locked
