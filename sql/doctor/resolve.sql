-- what names of tables mean, in the order given: its oid, or the schemas where it would have to be chosen; a
-- null schema means the first of the search path that has it, else public, else the only one there is
select
    case when fits.by_rank[1] < 3 or cardinality(fits.oids) = 1 then fits.oids[1] end as oid,
    coalesce(fits.schemas, '{}') as schemas
from unnest($1::text[], $2::text[]) with ordinality as wanted (schema, name, place)
cross join lateral (
    select
        array_agg(f.oid::bigint order by f.rank, f.path) as oids,
        array_agg(f.rank order by f.rank, f.path) as by_rank,
        array_agg(f.nspname::text order by f.rank, f.path, f.nspname) as schemas
    from (
        select
            c.oid,
            n.nspname,
            array_position(current_schemas(false), n.nspname) as path,
            case
                when n.nspname = wanted.schema or n.nspname = any (current_schemas(false)) then 1
                when n.nspname = 'public' then 2
                else 3
            end as rank
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        where c.relname = wanted.name
            and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and (
                n.nspname = wanted.schema
                or wanted.schema is null and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            )
    ) f
) fits
order by wanted.place
