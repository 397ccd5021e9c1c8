-- Version 4: entries whose lane was another before.

-- By which rules the entries of a form have, and had, their lanes, those used last first: a JSON array of
-- [form, [[name, attnum], ...]].
alter table binding add column rules text not null default '[]';

-- Of a delivery with a gate: all the other lanes whose deliveries of before must be finished first, as a JSON array. The
-- gate is the last of them; when it has ended, the next is looked for.
alter table delivery add column behind text;
update delivery set behind = (
    select json_array(gate.lane) from delivery gate
    where gate.webhook = delivery.webhook and gate.sequence = delivery.gate
)
where gate is not null;
