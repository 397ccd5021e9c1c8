"""remedy-client: logs in, manages webhooks with its general request, and logs out."""

import json
import sys

from remedy.exceptions import RemedyError
from remedy.remedy import RemedyClient

base, name, password, webhook = sys.argv[1:]
WEBHOOKS = "/api/arsys/v1.0/webhook"
said = {}


def refused(call):
    try:
        return call()
    except RemedyError as error:
        return str(error)


said["wrong"] = refused(lambda: RemedyClient(base, username=name, password="wrong"))
client = RemedyClient(base, username=name, password=password)


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body)
    return refused(lambda: client.query(path, data=data, headers={"Content-Type": "application/json"}, method=method))


said["form"] = refused(lambda: client.get_form("User"))
said["created"] = ask("POST", WEBHOOKS, json.loads(webhook))
said["list"] = ask("GET", WEBHOOKS)
one = f"{WEBHOOKS}/{said['list'][0]['webhook_id']}"
said["changed"] = ask("PUT", one, {"description": "by remedy-client", "enabled": False})
said["shown"] = ask("GET", one)
said["enabled"] = ask("PUT", one, {"enabled": True})
said["missing"] = ask("GET", f"{WEBHOOKS}/WBH000000000077")
said["logout"] = client.close()
said["afterwards"] = ask("GET", WEBHOOKS)
print(json.dumps(said))
