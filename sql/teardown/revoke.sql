revoke {privilege} on {object} from {role}
