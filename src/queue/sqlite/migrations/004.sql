-- Version 4: by which rules the entries of a form have, and had, their lanes, those used last first: a JSON array of
-- [form, [[name, attnum], ...]].

alter table binding add column rules text not null default '[]';
