insert into delivery (webhook, sequence, block, state, due_at_us, since_us, failures, attempts, replay)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)
on conflict (webhook, sequence) do update
set state = ?4, due_at_us = ?5, since_us = ?6, failures = ?7, attempts = ?8
