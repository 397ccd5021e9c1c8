update walhook.webhook set id = id
