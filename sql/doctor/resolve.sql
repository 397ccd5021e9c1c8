-- the oids of tables by name, in the order given; a null schema means the first of the search path that has it
select (
    select c.oid::bigint
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relname = wanted.name
        and c.relkind in ('r', 'p', 'v', 'm', 'f')
        and (n.nspname = wanted.schema or wanted.schema is null and n.nspname = any (current_schemas(false)))
    order by array_position(current_schemas(false), n.nspname)
    limit 1
)
from unnest($1::text[], $2::text[]) with ordinality as wanted (schema, name, place)
order by wanted.place
