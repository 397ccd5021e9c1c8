"""Reads messages with the CloudEvents project's own library: says what each of them is, or why it is none."""

import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_http_event


def read(message):
    message = HTTPMessage(headers=message["headers"], body=message["body"].encode())
    try:
        event = from_http_event(message)
    except Exception as refused:  # whatever it is: the caller judges the words
        return {"refused": f"{type(refused).__name__}: {refused}"}
    said = dict(event.get_attributes())
    said["time"] = said["time"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"event": {**said, "data": event.get_data()}}


print(json.dumps([read(message) for message in json.load(sys.stdin)]))
