-- a role and what it may do here; $1 is its name, null means the current one
select jsonb_build_object(
    'name', r.rolname,
    'quoted', quote_ident(r.rolname),
    'superuser', r.rolsuper,
    'replication', r.rolreplication,
    'login', r.rolcanlogin,
    'may_create_roles', r.rolcreaterole,
    'may_connect', has_database_privilege(r.oid, d.oid, 'connect'),
    'may_create', has_database_privilege(r.oid, d.oid, 'create'),
    'owns_database', pg_has_role(r.oid, d.datdba, 'usage'),
    -- Amazon RDS gives replication by membership instead of the attribute
    'rds_replication', (
        select pg_has_role(r.oid, rds.oid, 'usage') from pg_roles rds where rds.rolname = 'rds_replication'
    )
)
from pg_roles r, pg_database d
where r.rolname = coalesce($1::text, current_user) and d.datname = current_database()
