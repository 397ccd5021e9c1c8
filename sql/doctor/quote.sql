-- names as SQL wants them, in the order given
select array_agg(quote_ident(name) order by place)
from unnest($1::text[]) with ordinality as names (name, place)
