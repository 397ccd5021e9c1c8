select form, relation, schema, name, columns, rules from binding order by form
