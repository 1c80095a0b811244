"""Runs a command line client."""
import json
import subprocess
import sys

import servers

LONGEST_COMMAND_SECONDS = 30


def run(*command, data=''):
    """Runs a command in the folder of the project, with `data` as its input; returns its status and output."""
    return subprocess.run(
        command, input=data.encode() if isinstance(data, str) else data, capture_output=True, cwd=servers.ROOT,
        timeout=LONGEST_COMMAND_SECONDS, check=False
    )


def start(*command):
    """Starts a command, with pipes for its input and output."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, cwd=servers.ROOT, bufsize=0)


def json_values(text):
    """The values in a text that has one JSON value after the other."""
    decoder, values, at = json.JSONDecoder(), [], 0
    text = text.strip()
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        values.append(value)
        at += len(text[at:]) - len(text[at:].lstrip())
    return values
