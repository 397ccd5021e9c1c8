alter publication {publication} drop tables in schema {schema}
