-- Each array has one session's part at each place.
INSERT INTO sessions (id, sealed) SELECT unnest($1::uuid[]), unnest($2::bytea[])
