insert or replace into registry (one, epoch) values (1, ?1)
