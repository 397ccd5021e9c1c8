-- what was granted to the role $1 by name in this database: schemas first, then tables
select jsonb_build_object('on', g.object, 'privilege', lower(g.privilege_type), 'mine', g.mine)
from (
    select
        1 as rank,
        format('schema %I', n.nspname) as object,
        a.privilege_type,
        pg_has_role(n.nspowner, 'usage') as mine
    from pg_namespace n
    cross join aclexplode(n.nspacl) a
    where a.grantee = (select oid from pg_roles where rolname = $1::text) and n.nspowner <> a.grantee
    union all
    select 2, format('table %I.%I', n.nspname, c.relname), a.privilege_type, pg_has_role(c.relowner, 'usage')
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    cross join aclexplode(c.relacl) a
    where a.grantee = (select oid from pg_roles where rolname = $1::text)
        and c.relowner <> a.grantee
        and c.relkind in ('r', 'p', 'v', 'm', 'f')
    union all
    select 3, format('database %I', d.datname), a.privilege_type, pg_has_role(d.datdba, 'usage')
    from pg_database d
    cross join aclexplode(d.datacl) a
    where d.datname = current_database()
        and a.grantee = (select oid from pg_roles where rolname = $1::text)
        and d.datdba <> a.grantee
) g
order by g.rank, g.object, g.privilege_type
