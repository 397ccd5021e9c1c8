"""remedy-py: logs in, asks for what walhook does not have, uses its session for webhooks, and logs out."""

import json
import sys

import requests
from remedy_py.RemedyAPIClient import RemedyClient

host, port, name, password, webhook = sys.argv[1:]
said = {}
try:
    RemedyClient(host, name, "wrong", port=port, verify=False)
except requests.HTTPError as error:
    said["wrong"] = (error.response.status_code, error.response.json())

client = RemedyClient(host, name, password, port=port, verify=False)
try:
    client.get_form_entry("User", "1")
except requests.HTTPError as error:
    said["entry"] = (error.response.status_code, error.response.json())


# it has functions for entries alone: what else there is, is asked for with its base and headers
def ask(method, path, body=None):
    answer = requests.request(method, client.base_url + path, json=body, headers=client.reqHeaders)
    return answer.status_code, answer.json() if answer.content else None, answer.headers.get("location")


said["created"] = ask("POST", "/arsys/v1/webhook", json.loads(webhook))
one = "/arsys/v1/webhook/" + said["created"][2].rsplit("/", 1)[1]
said["shown"] = ask("GET", one)
said["changed"] = ask("PUT", one, {"description": "by remedy-py"})
said["again"] = ask("GET", one)
said["deleted"] = ask("DELETE", one)
said["logout"] = client.release_token()
said["afterwards"] = ask("GET", "/arsys/v1/webhook")
print(json.dumps(said))
