select distinct lane from held indexed by held_by_lane
where lane is not null and webhook = ?1 and number < (select next_held from webhook where id = ?1) limit ?2
