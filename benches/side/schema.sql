create table incident (
    id bigint primary key,
    short_description text,
    description text,
    status int,
    impact int,
    urgency int,
    assignee text,
    assigned_group text,
    opened timestamptz,
    changed timestamptz,
    extra jsonb,
    mark text not null
);
alter table incident replica identity full;
create publication walhook for table incident;
create publication walhook_inserts with (publish = 'insert');

-- entry, step, and when the statement wrote it, in microseconds since 1970
create function mark_of(entry bigint, step int) returns text language sql volatile as $$
    select entry || '.' || step || '.' || (extract(epoch from clock_timestamp()) * 1000000)::bigint
$$;

create function incident_of(entry bigint) returns setof incident language sql volatile as $$
    select entry,
        'Ticket ' || entry || ': the scanner at the front desk does not answer since this morning',
        repeat('Tried it again after lunch, the same words on its display. ', 5) || md5(entry::text) || md5((entry * 3)::text),
        (entry % 3)::int, (entry % 4)::int, (entry % 5)::int,
        'person' || entry % 40, 'team' || entry % 8, now(), now(),
        jsonb_build_object('floor', entry % 12, 'seen', entry % 2 = 0, 'words', jsonb_build_array('scanner', 'desk', entry % 7)),
        mark_of(entry, 1)
$$;

create procedure fill_inserts(first bigint, last bigint, per_transaction bigint) language plpgsql as $$
begin
    while first <= last loop
        insert into incident
            select made.* from generate_series(first, least(first + per_transaction - 1, last)) entry, incident_of(entry) made;
        commit;
        first := first + per_transaction;
    end loop;
end $$;

create procedure fill_updates(first bigint, last bigint, per_transaction bigint) language plpgsql as $$
begin
    while first <= last loop
        update incident
            set status = status + 1, urgency = (urgency + 1) % 5, assignee = 'person' || (id + 1) % 40,
                changed = clock_timestamp(), mark = mark_of(id, 2)
            where id between first and least(first + per_transaction - 1, last);
        commit;
        first := first + per_transaction;
    end loop;
end $$;
