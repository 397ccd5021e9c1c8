-- Version 7: registrations, as of the position. They change in the transactions that move it.

-- A row of the registration table as JSON, and the last version that could work where it cannot.
create table registration (
    webhook  integer primary key,
    row      text not null,
    in_force text
) strict;

-- In which epoch they were read from the table. No row before the first time.
create table registry (
    one   integer primary key check (one = 1),
    epoch integer not null
) strict;
