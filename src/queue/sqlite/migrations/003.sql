-- Version 3: what the last transaction is recognised by when the server's log is read again. Null where it is not known.

alter table position add column last_xid             integer;
alter table position add column last_committed_at_us integer;
