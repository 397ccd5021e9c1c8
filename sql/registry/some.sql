select pg_catalog.to_jsonb(w) from walhook.webhook w where w.id = any ($1::pg_catalog.int8[]) order by w.id
