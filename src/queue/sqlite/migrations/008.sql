-- Version 8: keys, as of the position: where rows lead that others refer to. They change in the transactions that move it.

create table key_line (
    number     integer primary key,
    -- the table's oid; columns and values as JSON arrays of texts
    relation   integer not null,
    columns    text not null,
    key_values text not null,
    -- what leads on: a JSON array of pairs, a column's name and its text or null
    row        text not null,
    -- the entry that the row is, if it is one
    form       text,
    entry_id   text,
    -- since when no row has the key
    gone_at_us integer,
    unique (relation, columns, key_values)
) strict;

create index key_line_gone on key_line (gone_at_us) where gone_at_us is not null;
