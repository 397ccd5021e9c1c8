-- the replication slot $1; what older servers do not know is null
select jsonb_build_object(
    'plugin', s.plugin,
    'slot_type', s.slot_type,
    'database', s.database,
    'active_pid', s.active_pid,
    'wal_status', s.wal_status,
    'invalidation_reason', to_jsonb(s) ->> 'invalidation_reason',
    'failover', to_jsonb(s) -> 'failover',
    'confirmed_flush_lsn', s.confirmed_flush_lsn::text,
    'retained_bytes', case
        when pg_is_in_recovery() then pg_wal_lsn_diff(pg_last_wal_replay_lsn(), s.restart_lsn)
        else pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)
    end,
    'catalog_age', case when s.catalog_xmin is not null then age(s.catalog_xmin) end
)
from pg_replication_slots s
where s.slot_name = $1
