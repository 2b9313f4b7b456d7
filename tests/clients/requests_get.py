"""GET a URL with requests; print what came of it as JSON."""

import requests

from report import url, report


def get():
    reply = requests.get(url(), timeout=20)
    return reply.status_code, reply.text


report(get)
