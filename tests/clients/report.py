"""What the Python clients share: the URL to ask for, and the one line of JSON that says what came of it."""

import json
import sys


def url():
    return sys.argv[1]


def report(get):
    """Print the status and body that `get` returns, or the error with its causes."""
    result = {"status": None, "body": None, "error": None}
    try:
        result["status"], result["body"] = get()
    except Exception as error:  # whatever the client raises is what its user sees
        result["error"] = " / ".join(causes(error))
    print(json.dumps(result))


def causes(error):
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = error.__cause__ or error.__context__
