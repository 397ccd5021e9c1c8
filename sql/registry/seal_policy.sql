update walhook.policy set key = $3 where id = $1 and key = $2 returning true
