-- Every setting that this role may see, as it holds for this session, in the setting's own unit. Those of libraries are there too.
SELECT name, coalesce(setting, '') AS setting FROM pg_settings
