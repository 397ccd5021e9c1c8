-- The queue, version 1. Numbers that are unsigned in walhook (webhooks, lanes, LSNs) stand as the signed number
-- with the same bits.

-- How far capture has come, and up to which row what it wrote counts. One row.
create table position (
    one                  integer primary key check (one = 1),
    commit_lsn           integer not null,
    end_lsn              integer not null,
    published_event      integer not null,
    published_quarantine integer not null
) strict;
insert into position values (1, 0, 0, 0, 0);

-- The stream that the queue is fed from. No row before the first start.
create table stream (
    one       integer primary key check (one = 1),
    system_id text    not null,
    timeline  integer not null,
    database  text    not null,
    slot      text    not null,
    epoch     integer not null,
    creating  integer not null
) strict;

create table gap (
    epoch          integer primary key,
    from_lsn       integer not null,
    to_lsn         integer not null,
    reason         text    not null,
    accepted_at_us integer not null
) strict;

-- The tables that the forms were bound to last; columns as a JSON array of [name, attnum].
create table binding (
    form     text    primary key,
    relation integer not null,
    schema   text    not null,
    name     text    not null,
    columns  text    not null
) strict, without rowid;

-- The webhooks and their books. Counters count what is published, and are kept by every change.
create table webhook (
    id                integer primary key,
    name              text    not null,
    enabled           integer not null,
    suspended         integer not null default 0,
    orphaned          integer not null default 0,
    deleted           integer not null default 0,
    overflowing       integer not null default 0,
    backlog_bytes_max integer not null,
    next_sequence     integer not null default 1,
    pending           integer not null default 0,
    pending_bytes     integer not null default 0,
    dead              integer not null default 0,
    dead_bytes        integer not null default 0,
    delivered         integer not null default 0,
    dropped           integer not null default 0,
    failures          integer not null default 0,
    failing_since_us  integer,
    last_error        text
) strict;

-- One row for each event and distinct tail of its bodies.
create table event (
    id              integer primary key,
    epoch           integer not null,
    commit_lsn      integer not null,
    ordinal         integer not null,
    form            text    not null,
    verb            text    not null,
    entry_id        text    not null,
    lane            integer not null,
    tail_number     integer not null,
    xid             integer not null,
    committed_at_us integer not null,
    content_type    text    not null,
    deliveries      integer not null,
    tail            blob    not null
) strict;
create unique index event_identity on event (epoch, commit_lsn, ordinal, verb, lane, tail_number);

-- state: 2 waiting, 3 ready, 4 retrying, 5 blocking, 6 dead, 7 delivered, 8 dropped; since_us: since when.
-- SQLite stores 0, 1 and null without a byte: a row that grows when it is settled would split its full page.
-- So no state is 0 or 1, and since_us is never null.
-- gate: a delivery of another lane that must be finished first.
create table delivery (
    webhook     integer not null,
    sequence    integer not null,
    state       integer not null,
    lane        integer not null,
    event       integer not null,
    gate        integer,
    due_at_us   integer,
    since_us    integer not null,
    failures    integer not null default 0,
    attempts    integer not null default 0,
    replay      integer not null default 0,
    bytes       integer not null,
    id          blob    not null,
    head        blob    not null,
    primary key (webhook, sequence)
) strict, without rowid;
create unique index delivery_active on delivery (webhook, lane) where state in (3, 4, 5);
create index delivery_waiting on delivery (webhook, lane, sequence) where state = 2;
create index delivery_ready on delivery (webhook, sequence) where state = 3;
create index delivery_due on delivery (webhook, due_at_us, sequence) where state = 4;
create index delivery_gate on delivery (webhook, gate) where gate is not null;
create index delivery_dead on delivery (webhook, sequence) where state in (5, 6);
create index delivery_ended on delivery (since_us) where state >= 7;

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

-- Sequence numbers without deliveries: given up by the limit of the backlog, or purged.
create table range (
    webhook         integer not null,
    first           integer not null,
    last            integer not null,
    state           integer not null,
    from_epoch      integer,
    from_commit_lsn integer,
    from_ordinal    integer,
    to_epoch        integer,
    to_commit_lsn   integer,
    to_ordinal      integer,
    primary key (webhook, first)
) strict, without rowid;

create table quarantine (
    id         integer primary key,
    epoch      integer not null,
    commit_lsn integer not null,
    ordinal    integer not null,
    form       text,
    reason     text    not null,
    bytes      blob    not null
) strict;
