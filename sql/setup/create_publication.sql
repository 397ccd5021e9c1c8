create publication {publication} for table {tables} with (publish = '{actions}', publish_via_partition_root = true)
