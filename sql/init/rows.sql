-- the statement that reads the columns $3 of the table $1.$2 as texts
select 'select ' || string_agg(format('%I::text', name), ', ' order by place) || format(' from %I.%I', $1::text, $2::text)
from unnest($3::text[]) with ordinality as columns (name, place)
