select form, relation, schema, name, columns from binding order by form
