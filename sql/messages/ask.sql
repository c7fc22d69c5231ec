-- One server; distributed: messages/append.sql turns/claim.sql
-- Takes the claim $6 of a session for 5 s and stores the question of its turn.
-- The claim that is there holds until its ends_at, or until the message behind its question exists: this question is behind that.
-- One whose question has this position is not taken over: the position was read before that question was stored.
-- No row if the session does not exist. Its lock comes first: a delete has it before it waits for the claim.
WITH locked AS (
    SELECT id FROM sessions WHERE id = $1::uuid FOR KEY SHARE
), claimed AS (
    INSERT INTO turns (session_id, position, claim, ends_at)
    SELECT id, $2::integer, $6::uuid, now() + interval '5 seconds' FROM locked
    ON CONFLICT (session_id) DO UPDATE
    SET position = excluded.position, claim = excluded.claim, ends_at = excluded.ends_at, is_stopped = false
    WHERE turns.position + 1 < excluded.position
        OR turns.position + 1 = excluded.position AND excluded.ends_at - turns.ends_at > interval '5 seconds'
    RETURNING session_id
), stored AS (
    INSERT INTO messages (session_id, position, id, sealed, total_bytes)
    SELECT session_id, $2::integer, $3::uuid, $4::bytea, $5::bigint FROM claimed
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT $1::uuid AS session_id, EXISTS (SELECT FROM claimed) AS is_claimed, EXISTS (SELECT FROM stored) AS is_stored FROM locked
