-- Every table that holds something of a session cascades from here.
DELETE FROM sessions WHERE id = $1::uuid RETURNING id
