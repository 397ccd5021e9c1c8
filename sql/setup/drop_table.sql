alter publication {publication} drop table {tables}
