select d.head, e.tail, e.content_type from delivery d join event e on e.id = d.event
where d.webhook = ?1 and d.sequence = ?2
