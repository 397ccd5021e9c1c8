select exists (
    select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'walhook' and c.relname = 'webhook' and c.relkind = 'r'
)
