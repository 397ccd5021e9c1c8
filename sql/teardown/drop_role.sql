drop role {role}
