insert into key_line (relation, columns, key_values, row, form, entry_id) values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (relation, columns, key_values)
do update set row = excluded.row, form = excluded.form, entry_id = excluded.entry_id, gone_at_us = null
