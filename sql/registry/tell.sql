insert into walhook.webhook_state
    (webhook, version, state, last_error, pending, dead, held, delivered, dropped)
select s.webhook, s.version, s.state, s.last_error, s.pending, s.dead, s.held, s.delivered, s.dropped
  from pg_catalog.json_to_recordset($1) as s(
           webhook bigint, version bigint, state text, last_error text,
           pending bigint, dead bigint, held bigint, delivered bigint, dropped bigint
       )
  -- a row that is being deleted waits for nobody, and nobody for it
  join (select w.id from walhook.webhook w for key share skip locked) w on w.id = s.webhook
    on conflict (webhook) do update
   set version = excluded.version, state = excluded.state, last_error = excluded.last_error,
       pending = excluded.pending, dead = excluded.dead, held = excluded.held,
       delivered = excluded.delivered, dropped = excluded.dropped, told_at = pg_catalog.now()
