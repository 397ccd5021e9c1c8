delete from walhook.webhook w
 where w.id = $1 and ($2::pg_catalog.int8 is null or w.version = $2)
returning pg_catalog.to_jsonb(w)
