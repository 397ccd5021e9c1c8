select webhook, sequence from touched order by id
