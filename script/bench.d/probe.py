"""Asks one address again and again on a kept connection, and tells when the first answer with a certain body came.

    probe.py ADDRESS PORT BODY LIMIT    prints seconds since the epoch, with microseconds

It pauses between two requests: one that never does takes a processor, of which the engine has two, and measures itself.
"""

import http.client
import sys
import time

PAUSE = 0.002
address, port, body, limit = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), float(sys.argv[4])
end = time.monotonic() + limit
link = http.client.HTTPConnection(address, port, timeout=limit)
print("ready", flush=True)
while time.monotonic() < end:
    link.request("GET", "/")
    answer = link.getresponse()
    said = answer.read().strip()
    if answer.status != 200:
        sys.exit(f"status {answer.status}")
    if said == body:
        print(f"{time.time():.6f}", flush=True)
        sys.exit(0)
    time.sleep(PAUSE)
sys.exit(f"no answer {body!r} in {limit} s; the last one was {said!r}")
