"""GET a URL with httpx, HTTP/2 allowed; print what came of it as JSON."""

import httpx

from report import report, url


def get():
    with httpx.Client(http2=True, timeout=20) as client:
        reply = client.get(url())
        return reply.status_code, reply.text


report(get)
