"""Switches between two containers under load, by turnout-proxy and by HAProxy with two servers: one line `KEY VALUE` a figure.

    swaps.py WORK TURNOUT_PROXY SWITCHES

64 clients keep their connections open and ask in turn for a small page, a POST whose body is answered with its hash, an answer
that takes 150 ms, and a stream of ten pieces. What fails is counted by kind: a kept connection that is closed under a request, an
answer that breaks off, another status than 200, and an answer that is not the one of its request, or of two containers.
"""

import asyncio
import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import re
import shutil
import socket
import statistics
import sys
import time
from datetime import datetime

from servers import RUNNING, ask, end_all, free_port, listens, nginx, path, route, say, start, turnout_proxy, until, write

PROGRAM, SWITCHES = sys.argv[2], int(sys.argv[3])
CLIENTS = 64
COLOURS = ("red", "blue")
KINDS = (("page", 60), ("post", 20), ("slow", 12), ("stream", 8))


# ------------------------------------------------------------ the containers

async def answer(reader, writer, colour):
    """Answers one connection, request after request."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            method, place = head.split(" ", 2)[:2]
            length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
            body = await reader.readexactly(length)
            if place == "/stream":
                writer.write(f"HTTP/1.1 200 OK\r\nX-Colour: {colour}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
                for _ in range(10):
                    writer.write(f"{len(colour) + 1:x}\r\n{colour} \r\n".encode())
                    await writer.drain()
                    await asyncio.sleep(0.015)
                writer.write(b"0\r\n\r\n")
                continue
            if place == "/slow":
                await asyncio.sleep(0.15)
            said = hashlib.sha1(body).hexdigest() if method == "post" else place
            said = f"{colour} {said}".encode()
            writer.write(f"HTTP/1.1 200 OK\r\nX-Colour: {colour}\r\nContent-Length: {len(said)}\r\n\r\n".encode() + said)
            await writer.drain()
    writer.close()


def container(colour, port):
    async def serve():
        server = await asyncio.start_server(lambda *ends: answer(*ends, colour), "127.0.0.1", port, backlog=1024)
        await server.serve_forever()
    asyncio.run(serve())


# ------------------------------------------------------------ the clients

class Failed(Exception):
    """A request that failed, and how."""


async def chunks(reader):
    """The pieces of a body that comes in chunks."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


async def one(reader, writer, kind, fresh):
    """One request; the colour that answered, and whether the connection stays."""
    body = random.randbytes(random.randrange(1, 32768)) if kind == "post" else b""
    place = {"page": "/", "post": "/post"}.get(kind, "/" + kind)
    length = f"Content-Length: {len(body)}\r\n" if kind == "post" else ""
    heard = b""
    try:
        writer.write(f"{'POST' if kind == 'post' else 'GET'} {place} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n".encode() + body)
        await writer.drain()
        heard = await reader.readuntil(b"\r\n\r\n")
        head = heard.decode("latin-1").lower().split("\r\n")
        if " 200 " not in head[0]:
            raise Failed(f"status {head[0].split(' ')[1]}")
        fields = dict(line.split(": ", 1) for line in head[1:] if line)
        said = await (chunks(reader) if "chunked" in fields.get("transfer-encoding", "") else
                      reader.readexactly(int(fields["content-length"])))
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        heard = heard or getattr(error, "partial", b"")
        raise Failed("broken off" if heard else "connection refused a request" if fresh else "closed under a request") from None
    colour = fields["x-colour"]
    wanted = f"{colour} " * 10 if kind == "stream" else f"{colour} {hashlib.sha1(body).hexdigest() if kind == 'post' else place}"
    if said.decode("latin-1") != wanted:
        raise Failed("wrong answer")
    return colour, fields.get("connection") != "close"


async def client(port, told, over):
    """Asks until it is over."""
    link = None
    while not over.is_set():
        kind = random.choices([kind for kind, _ in KINDS], [share for _, share in KINDS])[0]
        try:
            fresh = link is None
            if fresh:
                told["connections"] += 1
                link = await asyncio.open_connection("127.0.0.1", port)
            colour, stays = await asyncio.wait_for(one(*link, kind, fresh), 20)
            told["requests"] += 1
            told[colour] += 1
        except (Failed, OSError, TimeoutError) as error:
            told["failed"] += 1
            what = str(error) or type(error).__name__
            told["kinds"][what] = told["kinds"].get(what, 0) + 1
            stays = False
        if not stays and link:
            link[1].close()
            link = None
        await asyncio.sleep(0.004)
    if link:
        link[1].close()


def clients(port, over, answer_to):
    """64 of them, in a process of their own."""
    async def ask_on():
        told = {"requests": 0, "failed": 0, "connections": 0, "red": 0, "blue": 0, "kinds": {}}
        ends = asyncio.Event()
        asking = [asyncio.create_task(client(port, told, ends)) for _ in range(CLIENTS)]
        await asyncio.get_running_loop().run_in_executor(None, over.wait)
        ends.set()
        await asyncio.gather(*asking)
        answer_to.send(told)
    asyncio.run(ask_on())


def watcher(port, over, answer_to):
    """A client that does nothing but ask. For each change of the colour: when the last request of the one before was sent, and when
    the first one of the new colour was answered."""
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    seen, before, last = [], None, 0
    while not over.is_set():
        asked = time.monotonic_ns()
        link.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b""
        while not said.endswith(b" /"):
            more = link.recv(4096)
            if not more:
                raise SystemExit("the connection of the one that watches was closed")
            said += more
        colour = "blue" if said.endswith(b"blue /") else "red"
        if colour != before:
            seen.append((last, time.monotonic_ns(), colour))
            before = colour
        last = asked
    answer_to.send(seen)


# ------------------------------------------------------------ the switches

def switches(port, act, count, *others):
    """That many. For each: when it was asked for, when that was answered, and which colour; and what the one that watches has seen."""
    over = multiprocessing.Event()
    ends = [multiprocessing.Pipe() for _ in range(1 + len(others))]
    asking = [multiprocessing.Process(target=what, args=(port, over, end[1])) for what, end in zip((watcher, *others), ends)]
    for process in asking:
        process.start()
    acts = []
    time.sleep(0.5)
    for number in range(count):
        colour = COLOURS[(number + 1) % 2]
        asked = time.monotonic_ns()
        act(colour)
        acts.append((asked, time.monotonic_ns(), colour))
        time.sleep(0.025)
    act("red")
    over.set()
    heard = [end[0].recv() for end in ends]
    for process in asking:
        process.join()
    return acts, *heard


def times(name, acts, seen):
    """How long an act takes, and how long after it the first answer of the new colour was there, in microseconds; and how many requests
    that were sent after it were answered by the old colour."""
    took, first, wrong, changes = [], [], 0, iter(seen)
    change = next(changes, None)
    for asked, answered, colour in acts:
        took.append((answered - asked) / 1e3)
        while change and (change[1] < asked or change[2] != colour):
            change = next(changes, None)
        if change:
            first.append((change[1] - answered) / 1e3)
            wrong += change[0] > answered
    say(f"act.{name}", statistics.median(took))
    say(f"first.{name}", statistics.median(first))
    say(f"watched.{name}", len(first))
    say(f"wrong.{name}", wrong)


def measure(name, port, act):
    """With the one that watches alone, and under load."""
    times(f"{name}.alone", *switches(port, act, min(200, SWITCHES)))
    acts, seen, told = switches(port, act, SWITCHES, clients)
    times(f"{name}.load", acts, seen)
    for key in ("requests", "failed", "connections"):
        say(f"{key}.{name}", told[key])
    say(f"stale.{name}", told["kinds"].get("closed under a request", 0))
    print(f"{name}: {json.dumps(told)}", file=sys.stderr)


def own_words():
    """From the act, the moment at which turnout-proxy has the new routes, to the first request that the new colour gets, by the proxy's own
    two logs: no client in Python stands between. `wrk` asks all the while; nginx answers in the containers' stead. And, of those requests,
    how long it took until they were sent since they, and the new routes, were there: what a client needs to ask again is none of it."""
    backends = {colour: free_port() for colour in COLOURS}
    nginx("colours", "".join(f"server {{ listen 127.0.0.1:{port}; return 200 '{colour}'; }}" for colour, port in backends.items()))
    until("nginx listens", lambda: all(listens(port) for port in backends.values()))
    ours, log = free_port(), path("own.access")
    name = "own"
    _, control = turnout_proxy(PROGRAM, name, [route(ours, backends["red"])], "--access-log", log, level="debug")
    until("turnout-proxy listens", lambda: listens(ours))
    count = min(200, SWITCHES)
    asking = start("wrk", ["wrk", "-t1", "-c2", "-d600s", f"http://127.0.0.1:{ours}/"])
    time.sleep(1)
    for generation in range(2, 2 + count):
        apply(control, ours, generation, COLOURS[(generation + 1) % 2], backends)
        time.sleep(0.05)
    asking.terminate()
    asking.wait()
    connects = []
    for _ in range(count):
        began = time.monotonic()
        socket.create_connection(("127.0.0.1", backends["red"])).close()
        connects.append((time.monotonic() - began) * 1e6)
    say("own.connect", statistics.median(connects))
    first, sent, asked = {}, {}, {}
    with open(log, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            over = datetime.fromisoformat(line["time"]).timestamp() * 1e6
            generation = line.get("generation")
            if generation and over < first.get(generation, over + 1):
                first[generation], sent[generation] = over, over - 1e3 * line["container_millis"]
                asked[generation] = over - 1e3 * line["millis"]
    acts, at = {}, None
    with open(path(f"{name}.out"), encoding="utf-8") as lines:
        for line in lines:
            if found := re.search(r"the routes have moved at=(\d+)", line):
                at = int(found.group(1))
            if found := re.search(r"generation (\d+), revision 0 is served", line):
                acts[int(found.group(1))] = at
    seen = sorted(generation for generation in acts if generation > 1 and generation in first)
    say("own.watched", len(seen))
    say("own.sent", statistics.median(sent[generation] - acts[generation] for generation in seen))
    say("own.delay", statistics.median(sent[generation] - max(acts[generation], asked[generation]) for generation in seen))
    say("own.answered", statistics.median(first[generation] - acts[generation] for generation in seen))


def apply(control, listen, generation, colour, backends):
    """Tells turnout-proxy which colour is live."""
    target = {"name": colour, "generation": generation, "weight": 100, "targets": [f"127.0.0.1:{backends[colour]}"]}
    wanted = {"listen": f"127.0.0.1:{listen}", "protocol": "http", "state": "serve", "colours": [target]}
    ask(control, {"request": "apply", "repository": "bench", "generation": generation, "revision": 0, "routes": [wanted]})


def main():
    backends = {colour: free_port() for colour in COLOURS}
    held = [multiprocessing.Process(target=container, args=(colour, port), daemon=True) for colour, port in backends.items()]
    for process in held:
        process.start()
    for port in backends.values():
        until("a container listens", lambda port=port: listens(port))

    ours = free_port()
    _, control = turnout_proxy(PROGRAM, "swaps", [route(ours, backends["red"])])
    until("turnout-proxy listens", lambda: listens(ours))

    generations = itertools.count(2)

    measure("turnout", ours, lambda colour: apply(control, ours, next(generations), colour, backends))

    if shutil.which("haproxy"):
        theirs, stats = free_port(), path("haproxy-swaps.sock")
        start("haproxy-swaps", ["haproxy", "-db", "-f", write("haproxy-swaps.conf", f"""
global
  nbthread {os.cpu_count()}
  stats socket {stats} level admin
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 300s
frontend f
  bind 127.0.0.1:{theirs} backlog 4096
  option forwardfor
  default_backend b
backend b
  server red 127.0.0.1:{backends['red']}
  server blue 127.0.0.1:{backends['blue']}
""")])
        until("haproxy listens", lambda: listens(theirs) and os.path.exists(stats))

        def runtime(*words):
            with socket.socket(socket.AF_UNIX) as link:
                link.connect(stats)
                link.sendall("; ".join(words).encode() + b"\n")
                said = b""
                while more := link.recv(65536):
                    said += more
            if said.strip():
                raise SystemExit(f"haproxy: {said!r}")

        def drain(colour):
            other = COLOURS[1 - COLOURS.index(colour)]
            runtime(f"set server b/{colour} state ready", f"set server b/{other} state drain")

        drain("red")
        measure("haproxy", theirs, drain)
    for process in held:
        process.terminate()
    own_words()


if __name__ == "__main__":
    try:
        main()
    finally:
        end_all()
        assert all(process.poll() is not None for process in RUNNING)
