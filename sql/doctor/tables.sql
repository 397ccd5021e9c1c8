-- the tables with the oids $1, as seen by the role $2
with recursive tree as (
    select oid as root, oid as relid from pg_class where oid = any ($1::bigint[]::oid[])
    union all
    select tree.root, i.inhrelid
    from tree
    join pg_inherits i on i.inhparent = tree.relid
    join pg_class c on c.oid = i.inhrelid and c.relispartition
),
-- what the server itself asks before an update or delete of a published table (CheckCmdReplicaIdentity)
identity as (
    select
        c.oid,
        array(
            select a.attname::text
            from pg_index i
            cross join unnest(i.indkey) as k (attnum)
            join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
            where i.indrelid = c.oid
                and i.indisvalid
                and i.indimmediate
                and (c.relreplident = 'd' and i.indisprimary or c.relreplident = 'i' and i.indisreplident)
        ) as columns,
        -- since 18 an identity must not contain generated columns that are not published
        current_setting('server_version_num')::int >= 180000 and exists (
            select from pg_attribute a
            where a.attrelid = c.oid
                and a.attgenerated <> ''
                and not a.attisdropped
                and (
                    c.relreplident = 'f'
                    or exists (
                        select from pg_index i
                        where i.indrelid = c.oid
                            and a.attnum = any (i.indkey)
                            and (c.relreplident = 'd' and i.indisprimary or i.indisreplident)
                    )
                )
        ) as has_generated
    from pg_class c
    where c.oid in (select relid from tree)
),
-- tables that have rows of their own, which the table above them shows too
heirs as (
    select oid as root, oid as relid from pg_class where oid = any ($1::bigint[]::oid[])
    union
    select heirs.root, i.inhrelid
    from heirs
    join pg_inherits i on i.inhparent = heirs.relid
    join pg_class c on c.oid = i.inhrelid and not c.relispartition
),
-- what a view shows rows of, through any number of views
behind as (
    select oid as root, oid as relid from pg_class where oid = any ($1::bigint[]::oid[]) and relkind in ('v', 'm')
    union
    select behind.root, d.refobjid
    from behind
    join pg_rewrite w on w.ev_class = behind.relid
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
        and d.refclassid = 'pg_class'::regclass and d.refobjid <> behind.relid
)
select jsonb_build_object(
    'oid', c.oid::bigint,
    'schema', n.nspname,
    'name', c.relname,
    'quoted', format('%I.%I', n.nspname, c.relname),
    'schema_quoted', quote_ident(n.nspname),
    'kind', c.relkind,
    'persistence', c.relpersistence,
    'partition_of', (
        select format('%I.%I', rn.nspname, r.relname)
        from pg_class r
        join pg_namespace rn on rn.oid = r.relnamespace
        where c.relispartition and r.oid = pg_partition_root(c.oid)
    ),
    'heirs', array(
        select format('%I.%I', hn.nspname, h.relname)
        from heirs
        join pg_class h on h.oid = heirs.relid
        join pg_namespace hn on hn.oid = h.relnamespace
        where heirs.root = c.oid and heirs.relid <> c.oid
        order by 1
    ),
    'behind', array(
        select format('%I.%I', bn.nspname, b.relname)
        from behind
        join pg_class b on b.oid = behind.relid
        join pg_namespace bn on bn.oid = b.relnamespace
        where behind.root = c.oid and b.relkind in ('r', 'p')
        order by 1
    ),
    'identity', c.relreplident,
    'identity_columns', identity.columns,
    'primary_key', array(
        select a.attname::text
        from pg_index i
        cross join unnest(i.indkey) with ordinality as k (attnum, place)
        join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
        where i.indrelid = c.oid and i.indisprimary
        order by k.place
    ),
    'columns', array(
        select a.attname::text
        from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    ),
    'tree', array(
        select format('%I.%I', ln.nspname, l.relname)
        from tree
        join pg_class l on l.oid = tree.relid
        join pg_namespace ln on ln.oid = l.relnamespace
        where tree.root = c.oid
        order by 1
    ),
    'without_identity', array(
        select format('%I.%I', ln.nspname, l.relname)
        from tree
        join pg_class l on l.oid = tree.relid
        join pg_namespace ln on ln.oid = l.relnamespace
        join identity li on li.oid = l.oid
        where tree.root = c.oid
            and (
                li.has_generated
                or l.relreplident <> 'f' and cardinality(li.columns) = 0
                or l.relkind not in ('r', 'p')
            )
        order by 1
    ),
    'other_identity', array(
        select format('%I.%I', ln.nspname, l.relname)
        from tree
        join pg_class l on l.oid = tree.relid
        join pg_namespace ln on ln.oid = l.relnamespace
        where tree.root = c.oid and (l.relreplident = 'f') <> (c.relreplident = 'f')
        order by 1
    ),
    'has_generated', exists (
        select from pg_attribute a where a.attrelid = c.oid and a.attgenerated <> '' and not a.attisdropped
    ),
    'owner', pg_get_userbyid(c.relowner),
    'mine', pg_has_role(c.relowner, 'usage'),
    'role_sees_schema', coalesce(has_schema_privilege(r.oid, n.oid, 'usage'), false),
    'may_grant_schema', has_schema_privilege(n.oid, 'usage with grant option'),
    'role_reads', coalesce(has_table_privilege(r.oid, c.oid, 'select'), false),
    'may_grant', pg_has_role(c.relowner, 'usage') or has_table_privilege(c.oid, 'select with grant option'),
    'row_bytes', case when c.reltuples > 0 then (pg_relation_size(c.oid) / c.reltuples)::bigint end
)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join identity on identity.oid = c.oid
left join pg_roles r on r.rolname = $2::text
where c.oid = any ($1::bigint[]::oid[])
order by n.nspname, c.relname
