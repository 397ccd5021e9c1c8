select webhook, row, in_force from registration order by webhook
