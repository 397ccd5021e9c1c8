"""xurrent: manages webhooks with its general call, which follows pages and tells refusals."""

import json
import sys

import requests
from xurrent.core import XurrentApiHelper

base, token, account, uri = sys.argv[1:]
said = {}


def refused(call):
    try:
        return call()
    except requests.HTTPError as error:
        return error.response.status_code, error.response.json()


def client(token, account):
    return XurrentApiHelper(base, token, account, resolve_user=False)


api = client(token, account)
said["created"] = api.api_call("/webhooks", "POST", {"event": "problem.create", "uri": uri, "disabled": True})
one = f"/webhooks/{said['created']['id']}"
for event in ["request.create", "request.update"]:
    api.api_call("/webhooks", "POST", {"event": event, "uri": uri})
said["shown"] = api.api_call(one)
said["tested"] = api.api_call(f"{one}/test", "POST")
said["changed"] = api.api_call(one, "PATCH", {"disabled": False, "description": "by xurrent"})
# more than a page: it follows the links
said["pages"] = [webhook["id"] for webhook in api.api_call("/webhooks", per_page=2)]
said["enabled"] = len(api.api_call("/webhooks/enabled"))
said["disabled"] = api.api_call("/webhooks/disabled")
said["deleted"] = api.api_call("/webhooks/3", "DELETE")
said["missing"] = refused(lambda: api.api_call("/webhooks/3"))
said["invalid"] = refused(lambda: api.api_call("/webhooks", "POST", {"event": "problem.create"}))
said["token"] = refused(lambda: client("wht_wrong", account).api_call("/webhooks"))
said["account"] = refused(lambda: client(token, "other").api_call("/webhooks"))
print(json.dumps(said))
