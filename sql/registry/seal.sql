update walhook.webhook w
   set authentication = r.authentication, tls = r.tls, proxy = r.proxy, signing_secrets = r.signing_secrets, sealed_at = pg_catalog.now()
  from pg_catalog.json_populate_record(null::walhook.webhook, $3) r
 where w.id = $1 and w.version = $2
returning true
