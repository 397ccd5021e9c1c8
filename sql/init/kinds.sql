-- the statement that reads which values the column $3 of the table $1.$2 has, up to $4 of them; of a large table only a part is
-- looked at
select format(
    'select distinct kind from (select %1$I::text as kind from %2$I.%3$I where %1$I is not null limit 100000) _ order by 1 limit %4$s',
    $3::text, $1::text, $2::text, $4::bigint
)
