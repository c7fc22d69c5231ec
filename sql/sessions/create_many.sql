-- Each array has one value per session.
INSERT INTO sessions (id, sealed) SELECT unnest($1::uuid[]), unnest($2::bytea[])
