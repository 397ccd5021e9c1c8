insert into delivery (webhook, sequence, block, state, due_at_us, since_us, failures, attempts, replay)
values (?1, ?2, ?3, 8, null, ?4, 0, 0, 0)
on conflict (webhook, sequence) do update set state = 8, due_at_us = null, since_us = ?4
