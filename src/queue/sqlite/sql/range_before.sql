select first, last, state, from_epoch, from_commit_lsn, from_ordinal, to_epoch, to_commit_lsn, to_ordinal, webhook
from range where webhook = ?1 and first < ?2 order by first desc limit 1
