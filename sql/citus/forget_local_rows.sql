-- Removes the rows that were in the table $1 before it was distributed. Citus keeps them on the coordinator where no statement sees
-- them, and so no erasure.
SELECT truncate_local_data_after_distributing_table($1::text::regclass)
