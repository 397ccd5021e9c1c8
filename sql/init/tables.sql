-- everything in the schemas $1 that has rows, or in every schema of the application where $1 is empty
with relation as (
    select c.*, n.nspname
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
        and n.nspname not in ('information_schema', 'walhook')
        and n.nspname not like 'pg\_%'
        and (cardinality($1::text[]) = 0 or n.nspname = any ($1::text[]))
        -- what an extension brought along is not the application's
        and not exists (
            select from pg_depend d
            where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
        )
)
select jsonb_build_object(
    'oid', c.oid::bigint,
    'schema', c.nspname,
    'name', c.relname,
    'kind', c.relkind,
    'persistence', c.relpersistence,
    'is_partition', c.relispartition,
    'is_found_unqualified', pg_table_is_visible(c.oid),
    'has_full_identity', c.relreplident = 'f',
    'rows', greatest(c.reltuples, 0)::bigint,
    'comment', obj_description(c.oid, 'pg_class'),
    'primary_key', array(
        select a.attname::text
        from pg_index i
        cross join unnest(i.indkey) with ordinality as k (attnum, place)
        join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
        where i.indrelid = c.oid and i.indisprimary
        order by k.place
    ),
    'unique_columns', array(
        select a.attname::text
        from pg_index i
        join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
        where i.indrelid = c.oid
            and i.indisunique
            and i.indisvalid
            and not i.indisprimary
            and i.indnkeyatts = 1
            and i.indpred is null
            and i.indexprs is null
    ),
    'columns', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'name', a.attname,
            'type', case when t.typtype = 'd' then bt.typname else t.typname end,
            'category', t.typcategory,
            'not_null', a.attnotnull,
            'values', array(
                select e.enumlabel::text from pg_enum e where e.enumtypid = t.oid order by e.enumsortorder
            )
        ) order by a.attnum), '[]')
        from pg_attribute a
        join pg_type t on t.oid = a.atttypid
        left join pg_type bt on bt.oid = t.typbasetype
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ),
    'foreign_keys', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'columns', array(
                select a.attname::text
                from unnest(f.conkey) with ordinality as k (attnum, place)
                join pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.attnum
                order by k.place
            ),
            'table', f.confrelid::bigint,
            'refers_to', array(
                select a.attname::text
                from unnest(f.confkey) with ordinality as k (attnum, place)
                join pg_attribute a on a.attrelid = f.confrelid and a.attnum = k.attnum
                order by k.place
            ),
            'cascades', f.confdeltype = 'c'
        ) order by f.conkey, f.conname), '[]')
        from pg_constraint f
        where f.contype = 'f' and f.conrelid = c.oid and f.conparentid = 0
    )
)
from relation c
order by c.nspname, c.relname
