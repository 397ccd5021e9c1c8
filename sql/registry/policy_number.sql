select pg_catalog.nextval('walhook.policy_id_seq'::pg_catalog.regclass)
