select pg_catalog.nextval(pg_catalog.pg_get_serial_sequence('walhook.webhook', 'id'))
