-- the publications with the names $1
select jsonb_build_object(
    'name', p.pubname,
    'all_tables', p.puballtables,
    'insert', p.pubinsert,
    'update', p.pubupdate,
    'delete', p.pubdelete,
    'truncate', p.pubtruncate,
    'via_root', p.pubviaroot,
    'mine', pg_has_role(p.pubowner, 'usage'),
    'age', age(p.xmin)
)
from pg_publication p
where p.pubname = any ($1::text[])
