-- what the publications with the names $1 publish: tables named one by one, and those that come with a schema
-- or with everything
with effective as (
    select pt.pubname, c.oid as relid, to_jsonb(pt) ->> 'rowfilter' as row_filter
    from pg_publication_tables pt
    join pg_namespace n on n.nspname = pt.schemaname
    join pg_class c on c.relnamespace = n.oid and c.relname = pt.tablename
    join pg_publication p on p.pubname = pt.pubname and not p.puballtables
    where pt.pubname = any ($1::text[])
),
named as (
    select p.pubname, pr.prrelid as relid, to_jsonb(pr) ->> 'prattrs' as column_list
    from pg_publication_rel pr
    join pg_publication p on p.oid = pr.prpubid
    where p.pubname = any ($1::text[])
)
select jsonb_build_object(
    'publication', pubname,
    'oid', relid::bigint,
    'named', named.relid is not null,
    'row_filter', effective.row_filter,
    'column_list', named.column_list is not null
)
from effective
full join named using (pubname, relid)
-- without publish_via_partition_root, partitions stand for the table that was named
where named.relid is not null
    or not exists (
        select from pg_partition_ancestors(effective.relid) a (relid)
        join named n on n.relid = a.relid and n.pubname = effective.pubname
    )
