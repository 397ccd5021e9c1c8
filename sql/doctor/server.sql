-- the server and the database, as far as every role may see them
select jsonb_build_object(
    'version_num', current_setting('server_version_num')::int,
    'version', current_setting('server_version'),
    'database', current_database(),
    'database_quoted', quote_ident(current_database()),
    'in_recovery', pg_is_in_recovery(),
    'wal_level', current_setting('wal_level'),
    'slots_max', current_setting('max_replication_slots')::int,
    'slots_used', (select count(*) from pg_replication_slots),
    'senders_max', current_setting('max_wal_senders')::int,
    'senders_used', (select count(*) from pg_stat_replication),
    -- pg_settings leaves out what a role may not see, where current_setting would fail
    'slot_wal_keep_mb', (select setting::bigint from pg_settings where name = 'max_slot_wal_keep_size'),
    'idle_slot_timeout_s', (select setting::bigint from pg_settings where name = 'idle_replication_slot_timeout'),
    'synchronous_standby_names', current_setting('synchronous_standby_names'),
    'output_plugin_libraries', (select setting from pg_settings where name = 'output_plugin_libraries')
)
