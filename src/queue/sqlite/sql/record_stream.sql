insert or replace into stream (one, system_id, timeline, database, slot, epoch, creating)
values (1, ?1, ?2, ?3, ?4, ?5, ?6)
