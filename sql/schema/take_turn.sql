-- Services that start together migrate one after the other. The lock is the schema's, and the transaction's.
SELECT pg_try_advisory_xact_lock(hashtext('safespace migrations'), coalesce(hashtext(current_schema()), 0))
