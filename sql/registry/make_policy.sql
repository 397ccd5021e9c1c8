insert into walhook.policy (id, name, disabled, jwt_alg, jwt_audience, jwt_claim_expires_in, key, created_by)
select id, name, disabled, jwt_alg, jwt_audience, jwt_claim_expires_in, key, created_by
  from pg_catalog.json_populate_record(null::walhook.policy, $1)
returning pg_catalog.to_jsonb(policy)
