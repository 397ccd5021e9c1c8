update walhook.policy p
   set disabled = r.disabled, jwt_audience = r.jwt_audience, jwt_claim_expires_in = r.jwt_claim_expires_in
  from pg_catalog.json_populate_record(null::walhook.policy, $1) r
 where p.id = r.id
returning pg_catalog.to_jsonb(p)
