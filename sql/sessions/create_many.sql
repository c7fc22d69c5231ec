-- Each array has one session's part at each place.
INSERT INTO sessions (id, created_at) SELECT unnest($1::uuid[]), unnest($2::timestamptz[])
