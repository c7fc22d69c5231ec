-- Takes the claims of sessions for 5 s; a row for each that is taken. Each array has one value per session: its lookup, the position of
-- the question or, where an earlier question is answered, of the newest message; and the claim. $4: 1 where this transaction stores the
-- questions, else 0. A claim that is there holds until its ends_at, or until the message behind its position exists.
INSERT INTO turns (session_id, position, claim, ends_at)
SELECT session_id, position, claim, now() + interval '5 seconds'
FROM unnest($1::uuid[], $2::integer[], $3::uuid[]) AS wanted (session_id, position, claim)
ORDER BY session_id
ON CONFLICT (session_id) DO UPDATE
SET position = excluded.position, claim = excluded.claim, ends_at = excluded.ends_at, is_stopped = false
WHERE turns.position + $4::integer < excluded.position OR excluded.ends_at - turns.ends_at > interval '5 seconds'
RETURNING session_id
