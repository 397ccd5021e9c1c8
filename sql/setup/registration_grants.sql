grant usage on schema walhook to {role};
grant usage on sequence walhook.webhook_id_seq to {role};
grant usage on sequence walhook.policy_id_seq to {role};
grant select, insert, update, delete on walhook.policy to {role};
grant select, insert, update, delete on walhook.webhook to {role};
grant select, insert, update, delete on walhook.webhook_state to {role};
grant select on walhook.status to {role}
