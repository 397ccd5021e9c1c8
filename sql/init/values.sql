-- the statement that reads the first $5 pairs of the columns $3 and $4 of the table $1.$2
select format(
    'select %1$I::text, %2$I::text from %3$I.%4$I where %1$I is not null and %2$I is not null order by %1$I limit %5$s',
    $3::text, $4::text, $1::text, $2::text, $5::bigint
)
