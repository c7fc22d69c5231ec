-- Tries to take the lock of the migrations, so that services that start together migrate one after the other. Its key is the
-- schema's; the end of the transaction releases it.
SELECT pg_try_advisory_xact_lock(hashtext('safespace migrations'), coalesce(hashtext(current_schema()), 0))
