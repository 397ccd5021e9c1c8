grant rds_replication to {role}
