"""Judges bodies by schemas: says of each body what is wrong with it, an empty list where nothing is."""

import json
import sys

from jsonschema import Draft202012Validator


def judge(case):
    Draft202012Validator.check_schema(case["schema"])
    validator = Draft202012Validator(case["schema"])
    return [
        [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]
        for body in case["bodies"]
    ]


print(json.dumps([judge(case) for case in json.load(sys.stdin)]))
