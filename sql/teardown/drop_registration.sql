drop schema walhook cascade
