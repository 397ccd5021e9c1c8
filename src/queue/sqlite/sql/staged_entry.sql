insert into staged_entry (form, key, first) values (?1, ?2, ?3)
on conflict (form, key) do update set first = min(first, excluded.first)
returning id
