-- One server; distributed: sessions/create.sql
-- Each array has one value per session.
INSERT INTO sessions (id, sealed, idle_timeout_seconds) SELECT unnest($1::uuid[]), unnest($2::bytea[]), unnest($3::integer[])
