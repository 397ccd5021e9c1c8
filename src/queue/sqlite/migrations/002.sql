-- Version 2: events that are held because a condition could not be judged for them.

-- Up to which row of held_event counts.
alter table position add column published_held integer not null default 0;

-- The held events' part of the books. next_held: held events are numbered for each webhook, a number is never used
-- again. held_beyond: how many of the held are in ranges. held_dropped_to: up to which number an operator gave up.
alter table webhook add column next_held              integer not null default 1;
alter table webhook add column held                   integer not null default 0;
alter table webhook add column held_beyond            integer not null default 0;
alter table webhook add column held_bytes             integer not null default 0;
alter table webhook add column held_dropped           integer not null default 0;
alter table webhook add column held_dropped_to        integer not null default 0;
alter table webhook add column condition_failures     integer not null default 0;
alter table webhook add column last_condition_failure text;
alter table webhook add column broken                 text;

-- What is held, once for all webhooks that hold it; holders: how many they are.
create table held_event (
    id              integer primary key,
    epoch           integer not null,
    commit_lsn      integer not null,
    ordinal         integer not null,
    form            text    not null,
    verb            text    not null,
    entry_id        text    not null,
    lane            integer not null,
    committed_at_us integer not null,
    holders         integer not null,
    content         blob    not null
) strict;
create unique index held_event_identity on held_event (epoch, commit_lsn, ordinal, verb, lane);

-- Who holds it and why: cause is failed, broken or behind. A range stands for the events beyond the limit of the
-- backlog: it has no event and no lane, but the positions of its first and last.
create table held (
    webhook         integer not null,
    number          integer not null,
    event           integer,
    lane            integer,
    cause           text    not null,
    reason          text,
    count           integer not null,
    bytes           integer not null,
    from_epoch      integer,
    from_commit_lsn integer,
    from_ordinal    integer,
    to_epoch        integer,
    to_commit_lsn   integer,
    to_ordinal      integer,
    primary key (webhook, number)
) strict, without rowid;
create index held_by_event on held (event) where event is not null;
create index held_by_lane on held (webhook, lane) where lane is not null;
