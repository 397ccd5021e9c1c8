grant usage on schema walhook to {registrar};
grant usage on sequence walhook.webhook_id_seq to {registrar};
grant select, insert, update, delete on walhook.webhook to {registrar};
grant select on walhook.webhook_state, walhook.status to {registrar}
