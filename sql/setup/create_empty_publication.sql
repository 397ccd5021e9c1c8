create publication {publication} with (publish = '{actions}', publish_via_partition_root = true)
