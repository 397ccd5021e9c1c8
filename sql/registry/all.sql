select pg_catalog.to_jsonb(w) from walhook.webhook w order by w.id
