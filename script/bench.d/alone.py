"""What the engine alone takes for a push to live: its own calls, raw on its socket, on two networks as a colour has them.

    alone.py IMAGE NAME ROUNDS [FILE APPLICATION]
                                  a row `| WHAT | MEDIAN | LEAST | MOST |` for each call, in milliseconds, and one for all; into
                                  FILE how long this image, the application's, takes from the call that starts it to its first answer
"""

import contextlib
import http.client
import json
import os
import socket
import statistics
import sys
import threading
import time
import urllib.parse

IMAGE, NAME, ROUNDS = sys.argv[1], sys.argv[2], int(sys.argv[3])
SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


class Link(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


def open_call(method, path, body=None):
    link = Link("docker", timeout=120)
    link.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"} if body else {})
    return link.getresponse()


def call(method, path, body=None):
    answer = open_call(method, path, body)
    said = answer.read()
    if answer.status >= 400:
        raise SystemExit(f"{method} {path}: {answer.status} {said!r}")
    return json.loads(said) if said.startswith(b"{") else None


def create(name, command, port=None):
    own = f"{NAME}-own"
    body = {"Image": IMAGE, "Cmd": command, "HostConfig": {"NetworkMode": own, "Init": True}}
    if port:
        body["ExposedPorts"] = {"8000/tcp": {}}
        body["HostConfig"]["PortBindings"] = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
    made = call("POST", f"/containers/create?name={NAME}-{name}", body)["Id"]
    call("POST", f"/networks/{NAME}-link/connect", {"Container": made})
    return made


def remove(container):
    call("DELETE", f"/containers/{container}?force=true&v=true")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ends(container):
    """Stops it, and answers when its process is gone; and the thread that waits for the engine's own end."""
    filters = json.dumps({"container": [container], "event": ["die"]})
    events = open_call("GET", f"/events?filters={urllib.parse.quote(filters)}")
    stop = threading.Thread(target=call, args=("POST", f"/containers/{container}/stop"))
    stop.start()
    while b'"die"' not in events.readline():
        pass
    return stop


def one(took):
    def timed(what, work, *words):
        began = time.monotonic()
        done = work(*words)
        took.setdefault(what, []).append((time.monotonic() - began) * 1e3)
        return done
    idle = ["sleep", "1000000"]
    old = create("old", idle)
    call("POST", f"/containers/{old}/start")
    web = timed("a container made, and on its second network", create, "web", ["httpd", "-f", "-p", "8000"], free_port())
    timed("the web service started", call, "POST", f"/containers/{web}/start")
    worker = create("worker", idle)
    stop = timed("the old worker ended", ends, old)
    timed("the new worker started", call, "POST", f"/containers/{worker}/start")
    stop.join()
    for container in (old, web, worker):
        remove(container)


def boots(image):
    """From the call that starts a container of it to its first answer, in milliseconds."""
    port = free_port()
    body = {"Image": image, "HostConfig": {"NetworkMode": f"{NAME}-own", "Init": True, "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}}, "ExposedPorts": {"8000/tcp": {}}}
    made = call("POST", f"/containers/create?name={NAME}-boot", body)["Id"]
    began = time.monotonic()
    call("POST", f"/containers/{made}/start")
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            asked = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            asked.request("GET", "/")
            if asked.getresponse().status == 200:
                break
        time.sleep(0.002)
    took = (time.monotonic() - began) * 1e3
    remove(made)
    return took


def main():
    took = {}
    try:
        call("POST", "/networks/create", {"Name": f"{NAME}-own", "CheckDuplicate": True})
        call("POST", "/networks/create", {"Name": f"{NAME}-link", "CheckDuplicate": True, "Internal": True})
        for number in range(ROUNDS + 1):
            # The first one warms up.
            one(took if number else {})
        if len(sys.argv) > 4:
            with open(sys.argv[4], "w", encoding="utf-8") as file:
                file.writelines(f"{boots(sys.argv[5]):.2f}\n" for _ in range(ROUNDS))
    finally:
        for network in ("own", "link"):
            with contextlib.suppress(SystemExit):
                call("DELETE", f"/networks/{NAME}-{network}")
    took["**in all, one after the other**"] = [sum(each) for each in zip(*took.values())]
    for what, each in took.items():
        print(f"| {what} | {statistics.median(each):.0f} | {min(each):.0f} | {max(each):.0f} |")


if __name__ == "__main__":
    main()
