-- One server; distributed: messages/append.sql turns/claim.sql
-- ask.sql for several questions, of different sessions.
-- Each array has one value per question. Locks are taken in the order of ids, as everywhere, so that concurrent statements do
-- not deadlock.
WITH wanted AS (
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::bytea[], $5::bigint[], $6::uuid[])
        AS wanted (session_id, position, id, sealed, total_bytes, claim)
), locked AS (
    SELECT id FROM sessions WHERE id = ANY($1::uuid[]) ORDER BY id FOR KEY SHARE
), claimed AS (
    INSERT INTO turns (session_id, position, claim, ends_at)
    SELECT session_id, position, claim, now() + interval '5 seconds' FROM wanted JOIN locked ON locked.id = session_id
    ORDER BY session_id
    ON CONFLICT (session_id) DO UPDATE
    SET position = excluded.position, claim = excluded.claim, ends_at = excluded.ends_at, is_stopped = false
    WHERE turns.position + 1 < excluded.position
        OR turns.position + 1 = excluded.position AND excluded.ends_at - turns.ends_at > interval '5 seconds'
    RETURNING session_id
), stored AS (
    INSERT INTO messages (session_id, position, id, sealed, total_bytes)
    SELECT session_id, position, wanted.id, sealed, total_bytes FROM wanted JOIN claimed USING (session_id)
    ORDER BY session_id
    ON CONFLICT DO NOTHING
    RETURNING session_id
)
SELECT locked.id AS session_id, claimed.session_id IS NOT NULL AS is_claimed, stored.session_id IS NOT NULL AS is_stored
FROM locked LEFT JOIN claimed ON claimed.session_id = locked.id LEFT JOIN stored ON stored.session_id = locked.id
