-- Distributes the table $1 by its column $2, and its rows with it. A session's rows are together: the other tables have the shards of
-- sessions, which are co-located with nothing else.
SELECT create_distributed_table($1::text::regclass, $2::text, colocate_with => CASE $1::text WHEN 'sessions' THEN 'none' ELSE 'sessions' END)
