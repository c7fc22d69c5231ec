-- Takes the claim $3 of a session for 5 s; no row where another turn has it. $2: the position of the question or, where an earlier
-- question is answered, of the newest message. $4: 1 where this transaction stores the question, else 0. A claim that is there holds
-- until its ends_at, or until the message behind its position exists. One with a later position is not taken over: $2 was read before.
INSERT INTO turns (session_id, position, claim, ends_at)
VALUES ($1::uuid, $2::integer, $3::uuid, now() + interval '5 seconds')
ON CONFLICT (session_id) DO UPDATE
SET position = excluded.position, claim = excluded.claim, ends_at = excluded.ends_at, is_stopped = false
WHERE turns.position + $4::integer < excluded.position
    OR turns.position + $4::integer = excluded.position AND excluded.ends_at - turns.ends_at > interval '5 seconds'
RETURNING session_id
