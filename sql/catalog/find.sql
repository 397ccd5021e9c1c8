-- Relations by name: $1 their names. The place in the search path comes first where there is one.
select c.oid,
       n.nspname::text as schema,
       c.relname::text as name,
       array_position(current_schemas(false), n.nspname) as place
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relname = any ($1::text[])
  and c.relkind in ('r', 'p', 'v', 'm', 'f')
