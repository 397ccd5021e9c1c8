select first, last, state, from_epoch, from_commit_lsn, from_ordinal, to_epoch, to_commit_lsn, to_ordinal, webhook
from range where webhook = ?1 and state = 6 order by first
