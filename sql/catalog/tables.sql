-- Tables in full: $1 their oids. Columns come in the order of their numbers, keys in the order of their index.
select c.oid,
       n.nspname::text as schema,
       c.relname::text as name,
       format('%I.%I', n.nspname, c.relname) as sql_name,
       c.relkind::text as kind,
       c.relpersistence::text as persistence,
       c.relreplident::text as identity,
       c.oid < 16384 as is_system,
       case when c.relispartition then
           (select format('%I.%I', rn.nspname, r.relname)
            from pg_catalog.pg_class r
            join pg_catalog.pg_namespace rn on rn.oid = r.relnamespace
            where r.oid = pg_partition_root(c.oid))
       end as root,
       case when c.relkind = 'p' then
           array(select format('%I.%I', ln.nspname, l.relname)
                 from pg_partition_tree(c.oid) t
                 join pg_catalog.pg_class l on l.oid = t.relid
                 join pg_catalog.pg_namespace ln on ln.oid = l.relnamespace
                 where t.isleaf and l.relreplident <> 'f'
                 order by 1)
       end as leaves_not_full,
       array(select a.attname::text from pg_catalog.pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as names,
       array(select a.attnum from pg_catalog.pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as numbers,
       array(select a.atttypid from pg_catalog.pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as types,
       array(select a.attgenerated <> '' from pg_catalog.pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as generated,
       array(select a.atttypmod from pg_catalog.pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as modifiers,
       array(select not coalesce(o.collisdeterministic, true) from pg_catalog.pg_attribute a
             left join pg_catalog.pg_collation o on o.oid = a.attcollation
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as folds_case,
       (select (i.indkey::int2[])[0:i.indnkeyatts - 1] from pg_catalog.pg_index i
        where i.indrelid = c.oid and i.indisprimary) as primary_key,
       (select (i.indkey::int2[])[0:i.indnkeyatts - 1] from pg_catalog.pg_index i
        where i.indrelid = c.oid and i.indisvalid and i.indimmediate
          and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end
       ) as identity_key
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid = any ($1::oid[])
