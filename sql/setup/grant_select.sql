grant select on table {table} to {role}
