select pg_catalog.to_jsonb(p) from walhook.policy p
 where $1::pg_catalog.int8 is null or p.id = $1
 order by p.created_at, p.id
