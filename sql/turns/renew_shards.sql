-- Moves the ends of claims on to 5 s from now.
UPDATE turns SET ends_at = now() + interval '5 seconds' WHERE session_id = ANY($1::uuid[]) AND claim = ANY($2::uuid[])
