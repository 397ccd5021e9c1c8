begin;
alter publication {from} drop table {tables};
alter publication {to} add table {tables};
commit
