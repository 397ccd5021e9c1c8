-- Version 5: what came in one transaction of the queue is stored together, in a block, and only what did not go as
-- planned has rows of its own. Numbers that are unsigned in walhook stand as the signed number with the same bits.

-- What was there is carried over after this (see former.rs).
alter table event rename to former_event;
alter table delivery rename to former_delivery;
alter table attempt rename to former_attempt;
drop index delivery_active;
drop index delivery_waiting;
drop index delivery_ready;
drop index delivery_due;
drop index delivery_gate;
drop index delivery_dead;
drop index delivery_ended;
create index former_delivery_event on former_delivery (event);

-- How far capture has come, and up to which block and row what it wrote counts. Blocks count from 1.
alter table position add column published_block integer not null default 0;

-- A number that no delivery is below that is to be sent some time.
alter table webhook add column oldest integer not null default 1;

-- A block has deliveries, so many of which have ended (were delivered or dropped), the last of them at a time.
create table block (
    id         integer primary key,
    deliveries integer not null,
    ended      integer not null,
    since_us   integer not null
) strict;
create index block_ended on block (since_us) where ended > 0;

-- What is in it: its events with their deliveries, and the bytes of all bodies (see block.rs for both). The larger
-- one comes last, so that the other can be read without it.
create table content (
    block  integer primary key,
    events blob not null,
    bodies blob not null
) strict;

-- A webhook's deliveries in a block: the first and the last of their sequence numbers.
create table share (
    webhook integer not null,
    first   integer not null,
    last    integer not null,
    block   integer not null,
    primary key (webhook, first)
) strict, without rowid;

-- Deliveries of a block that arrived at the first attempt, and what was answered; part: how many of the block had ended
-- with them.
create table arrived (
    block integer not null,
    part  integer not null,
    list  blob    not null,
    primary key (block, part)
) strict, without rowid;

-- A delivery that did not: one that failed at least once, or that somebody replayed or gave up.
-- state: 3 ready (replayed), 4 retrying, 5 blocking, 6 dead, 7 delivered, 8 dropped; since_us: since when.
create table delivery (
    webhook   integer not null,
    sequence  integer not null,
    block     integer not null,
    state     integer not null,
    due_at_us integer,
    since_us  integer not null,
    failures  integer not null,
    attempts  integer not null,
    replay    integer not null,
    primary key (webhook, sequence)
) strict, without rowid;
create index delivery_of_block on delivery (block);
create index delivery_retrying on delivery (since_us) where state = 4;
create index delivery_dead on delivery (webhook, sequence) where state in (5, 6);

-- The attempts of those deliveries.
create table attempt (
    webhook       integer not null,
    sequence      integer not null,
    number        integer not null,
    started_at_us integer not null,
    duration_us   integer not null,
    kind          text    not null,
    status        integer,
    retry_after_s integer,
    text          text    not null,
    primary key (webhook, sequence, number)
) strict, without rowid;

-- Deliveries that a command has replayed or given up beside the owner, who has yet to take notice.
create table touched (
    id       integer primary key,
    webhook  integer not null,
    sequence integer not null
) strict;
