"""Reads messages of several parts with parsers that others wrote: Werkzeug's, which Flask reads forms with, and that of
Python's own `email`. Says of each message the parts that both found: name, file name, type, and the bytes in base64."""

import base64
import email.parser
import email.policy
import io
import json
import sys

from werkzeug.formparser import parse_form_data


def by_werkzeug(content_type, body):
    environment = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    _, form, files = parse_form_data(environment, silent=False)
    parts = [(name, None, None, value.encode()) for name, value in form.items(multi=True)]
    parts += [(name, file.filename, file.mimetype, file.read()) for name, file in files.items(multi=True)]
    return parts


def by_email(content_type, body):
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    assert message.is_multipart() and not message.defects, message.defects
    parts = []
    for part in message.iter_parts():
        assert part.get_content_disposition() == "form-data", part.items()
        assert not part.defects, part.defects
        # bytes that are no ASCII come back from the parser in a disguise of their own
        content = part.get_payload(decode=True)
        parts.append((part.get_content_type(), part["Content-Transfer-Encoding"], content))
    return parts


def read(message):
    body = base64.b64decode(message["body"])
    parts, mime = by_werkzeug(message["type"], body), by_email(message["type"], body)
    told = []
    for (name, file, kind, content), (type_, encoding, _) in zip(parts, mime, strict=True):
        assert kind in (None, type_), (kind, type_)
        told.append([name, file, type_, encoding, base64.b64encode(content).decode()])
    # of lines that end alone the mail parser makes what mail has: compared is what it leaves as it is
    for (_, _, _, content), (_, _, other) in zip(parts, mime):
        assert content.replace(b"\r", b"").replace(b"\n", b"") == other.replace(b"\r", b"").replace(b"\n", b""), other
    return told


print(json.dumps([read(message) for message in json.load(sys.stdin)]))
