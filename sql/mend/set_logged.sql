alter table {table} set logged
