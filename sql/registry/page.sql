select pg_catalog.to_jsonb(w) from walhook.webhook w where w.id > $1 order by w.id limit $2
