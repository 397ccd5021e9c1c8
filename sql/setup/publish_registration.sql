alter publication {publication} add table only walhook.webhook
