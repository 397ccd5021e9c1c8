-- What publications hold: $1 their names, $2 the oids of tables. One row without a table stands for a
-- publication that has none of them. Columns and row filters are there from PostgreSQL
-- 15 on.
select p.pubname::text as publication,
       p.pubinsert as inserts,
       p.pubupdate as updates,
       p.pubdelete as deletes,
       t.oid,
       coalesce(t.as_itself, false) as as_itself,
       t.columns,
       coalesce(t.is_filtered, false) as is_filtered,
       current_setting('server_version_num')::int4 >= 180000 as may_have_generated
from pg_catalog.pg_publication p
left join lateral (
    select distinct on (1, 2)
           case when c.oid = any ($2::oid[]) then c.oid else pg_partition_root(c.oid)::oid end as oid,
           c.oid = any ($2::oid[]) as as_itself,
           case when jsonb_typeof(to_jsonb(pt) -> 'attnames') = 'array' then
               array(select jsonb_array_elements_text(to_jsonb(pt) -> 'attnames'))
           end as columns,
           to_jsonb(pt) ->> 'rowfilter' is not null as is_filtered
    from pg_catalog.pg_publication_tables pt
    join pg_catalog.pg_namespace n on n.nspname = pt.schemaname
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = pt.tablename
    where pt.pubname = p.pubname
      and (c.oid = any ($2::oid[])
           or c.relispartition and pg_partition_root(c.oid) = any ($2::oid[]))
) t on true
where p.pubname = any ($1::text[])
