insert or replace into binding (form, relation, schema, name, columns, rules) values (?1, ?2, ?3, ?4, ?5, ?6)
