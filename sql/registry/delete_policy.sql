delete from walhook.policy where id = $1 returning true
