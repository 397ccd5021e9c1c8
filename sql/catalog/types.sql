-- Types: $1 their oids.
select t.oid,
       t.typtype::text as kind,
       t.typbasetype as base,
       t.typelem as element,
       t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc as is_array,
       e.typdelim::text as delimiter,
       -- the type that has the name of its extension: hstore, citext
       exists (
           select from pg_catalog.pg_depend d
           join pg_catalog.pg_extension x on x.oid = d.refobjid
           where d.classid = 'pg_catalog.pg_type'::regclass and d.objid = t.oid
             and d.refclassid = 'pg_catalog.pg_extension'::regclass and x.extname = t.typname
       ) as names_extension,
       t.typname::text as name,
       array(select n.enumlabel::text from pg_catalog.pg_enum n
             where n.enumtypid = t.oid order by n.enumsortorder) as labels,
       array(select a.attname::text from pg_catalog.pg_attribute a
             where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
             order by a.attnum) as attribute_names,
       array(select a.atttypid from pg_catalog.pg_attribute a
             where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
             order by a.attnum) as attribute_types
from pg_catalog.pg_type t
left join pg_catalog.pg_type e on e.oid = t.typelem and t.typelem <> 0
where t.oid = any ($1::oid[])
