-- Version 6: failing deliveries are written without an index that only a clock that was set back, and each start, had a
-- use for: they read the deliveries that have rows of their own through.

drop index delivery_retrying;
