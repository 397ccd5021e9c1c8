-- the registration table, and whether the role $1 may do with it what walhook does
select jsonb_build_object(
    'oid', c.oid::bigint,
    'mine', pg_has_role(c.relowner, 'usage'),
    'role_may', coalesce((
        select has_schema_privilege(r.oid, n.oid, 'usage')
            and has_sequence_privilege(r.oid, pg_get_serial_sequence('walhook.webhook', 'id'), 'usage')
            and has_table_privilege(r.oid, c.oid, 'select')
            and has_table_privilege(r.oid, c.oid, 'insert')
            and has_table_privilege(r.oid, c.oid, 'update')
            and has_table_privilege(r.oid, c.oid, 'delete')
            and has_table_privilege(r.oid, s.oid, 'select')
            and has_table_privilege(r.oid, s.oid, 'insert')
            and has_table_privilege(r.oid, s.oid, 'update')
        from pg_roles r
        where r.rolname = $1::text
    ), false)
)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_class s on s.relnamespace = n.oid and s.relname = 'webhook_state'
where n.nspname = 'walhook' and c.relname = 'webhook' and c.relkind = 'r'
