pragma journal_mode = off;
pragma synchronous = off;
pragma locking_mode = exclusive;
pragma cache_size = -4000;
drop table if exists staged_entry;
drop table if exists staged_change;
create table staged_entry (
    id    integer primary key,
    form  integer not null,
    key   blob    not null,
    first integer not null,
    unique (form, key)
) strict;
create index staged_entry_first on staged_entry (first);
create table staged_change (
    entry    integer not null,
    ordinal  integer not null,
    relation integer not null,
    change   blob    not null,
    primary key (entry, ordinal)
) strict, without rowid;
