-- Changes a report if it is still as it was read: sealed bytes begin with a random nonce, so no two are equal.
UPDATE reports SET sealed = $4::bytea WHERE session_id = $1::uuid AND id = $2::uuid AND sealed = $3::bytea RETURNING id
