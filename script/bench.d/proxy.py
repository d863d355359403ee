"""Measures turnout-proxy beside nginx, HAProxy and Caddy, for script/bench: one line `KEY VALUE` a figure.

    proxy.py WORK TURNOUT_PROXY ROUNDS SECONDS

Each program stands before the same container (an nginx of its own with one worker) and does the same: upstream connections
kept, X-Forwarded headers, no access log. They are asked in alternation, one at a time.
"""

import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

from servers import end_all, free_port, listens, nginx, path, route, say, start, turnout_proxy, until, write

WORK, PROGRAM, ROUNDS, SECONDS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
CLIENTS = 64
TICK = os.sysconf("SC_CLK_TCK")


def family(pid):
    """A process and its descendants."""
    found = [pid]
    for each in found:
        try:
            with open(f"/proc/{each}/task/{each}/children", encoding="ascii") as file:
                found += [int(child) for child in file.read().split()]
        except FileNotFoundError:
            pass
    return found


def processor(pid):
    """User and system time of a process and its descendants, in seconds."""
    ticks = 0
    for each in family(pid):
        with open(f"/proc/{each}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def memory(pid):
    """Resident memory of a process, in MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"^VmRSS:\s+(\d+)", file.read(), re.M).group(1)) / 1024


def wrk(url, seconds=SECONDS, clients=CLIENTS):
    """Requests that were answered, requests a second."""
    said = subprocess.run(["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{url}: {said}")
    return int(re.search(r"(\d+) requests in", said).group(1)), float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1))


def cost(pid, url):
    """Processor time a request in microseconds, requests a second."""
    wrk(url, 1)
    before = processor(pid)
    requests, rate = wrk(url)
    return (processor(pid) - before) * 1e6 / requests, rate


def latency(url, rate):
    """Median and 99th percentile in microseconds at a fixed rate."""
    log = path("h2load.log")
    if os.path.exists(log):
        os.remove(log)
    clients = 32
    subprocess.run(
        ["h2load", "--h1", "-t1", f"-c{clients}", f"-D{SECONDS}", f"--rps={max(1, int(rate / clients))}", f"--log-file={log}", url],
        capture_output=True, check=True)
    with open(log, encoding="ascii") as file:
        times = sorted(int(line.split("\t")[2]) for line in file if line.split("\t")[1] == "200")
    return times[len(times) // 2], times[len(times) * 99 // 100]


def calls(pid, url):
    """System calls a request, by kind."""
    worker = family(pid)[-1]
    report = path("strace")
    traced = subprocess.Popen(["strace", "-f", "-c", "-o", report, "-p", str(worker)], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    requests, _ = wrk(url, 3)
    traced.send_signal(signal.SIGINT)
    traced.wait()
    kinds = {"read": 0, "write": 0, "wait": 0, "other": 0}
    with open(report, encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if len(fields) < 5 or not fields[0].replace(".", "").isdigit() or fields[-1] == "total":
                continue
            call = fields[-1]
            kind = ("read" if call in ("read", "readv", "recvfrom", "recvmsg") else
                    "write" if call in ("write", "writev", "sendto", "sendmsg", "sendfile") else
                    "wait" if call.startswith("epoll_wait") or call == "epoll_pwait" or call == "futex" else "other")
            kinds[kind] += int(fields[3])
    return {kind: count / requests for kind, count in kinds.items()}


def certificate():
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", path("key.pem"), "-out", path("cert.pem")],
        capture_output=True, check=True)
    with open(path("both.pem"), "w", encoding="ascii") as both:
        for name in ("cert.pem", "key.pem"):
            with open(path(name), encoding="ascii") as file:
                both.write(file.read())


def idle_connections(port, count):
    """So many kept connections on which one request was answered."""
    held = []
    for _ in range(count):
        link = socket.create_connection(("127.0.0.1", port))
        link.sendall(b"GET /s HTTP/1.1\r\nHost: localhost\r\n\r\n")
        held.append(link)
    for link in held:
        link.settimeout(20)
        said = b""
        while b"\r\n\r\n" not in said:
            said += link.recv(4096)
    return held


def tunnels(proxied, listener, count):
    """So many open WebSockets: both ends are here."""
    listener.settimeout(20)
    held = []
    for _ in range(count):
        link = socket.create_connection(("127.0.0.1", proxied))
        link.sendall(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        try:
            end, _ = listener.accept()
        except TimeoutError:
            raise SystemExit(f"{len(held) // 2} tunnels stand, and no more came") from None
        said = b""
        while b"\r\n\r\n" not in said:
            said += end.recv(4096)
        end.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        link.settimeout(20)
        said = b""
        while b"\r\n\r\n" not in said:
            said += link.recv(4096)
        if b" 101 " not in said:
            raise SystemExit(f"no tunnel: {said!r}")
        held += [link, end]
    return held


def main():
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.makedirs(path("t"), exist_ok=True)
    os.makedirs(path("files"), exist_ok=True)
    with open(path("files", "l"), "wb") as file:
        file.write(b"x" * 65536)
    with open(path("files", "s"), "wb") as file:
        file.write(b"x" * 128)
    certificate()
    backend, plain, tls = free_port(), {}, {}
    for who in ("turnout", "turnout-1", "nginx", "haproxy", "caddy"):
        plain[who], tls[who] = free_port(), free_port()
    nginx("backend", f"open_file_cache max=10; server {{ listen 127.0.0.1:{backend} backlog=4096; root {path('files')}; }}")
    headers = ("proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $host; proxy_set_header X-Forwarded-For "
               "$proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;")
    who = {}
    who["nginx"] = nginx("nginx", f"""
  upstream up {{ server 127.0.0.1:{backend}; keepalive 128; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{plain['nginx']} backlog=4096; listen 127.0.0.1:{tls['nginx']} ssl backlog=4096; ssl_certificate {path('cert.pem')};
    ssl_certificate_key {path('key.pem')}; location / {{ proxy_pass http://up; {headers} }} }}""").pid
    shown = {"certificate": path("cert.pem"), "key": path("key.pem")}
    for name, options in (("turnout", ()), ("turnout-1", ("--threads", "1"))):
        routes = [route(plain[name], backend), route(tls[name], backend, hosts=["localhost"], tls=shown)]
        who[name] = turnout_proxy(PROGRAM, name, routes, *options)[0].pid
    who["haproxy"] = start("haproxy", ["haproxy", "-db", "-f", write("haproxy.conf", f"""
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 300s
frontend f
  bind 127.0.0.1:{plain['haproxy']} backlog 4096
  bind 127.0.0.1:{tls['haproxy']} ssl crt {path('both.pem')} alpn http/1.1
  option forwardfor
  default_backend b
backend b
  http-reuse always
  server red 127.0.0.1:{backend}
""")]).pid
    if shutil.which("caddy"):
        os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = path("caddy")
        who["caddy"] = start("caddy", ["caddy", "run", "--adapter", "caddyfile", "--config", write("Caddyfile", f"""
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{plain['caddy']} {{
  reverse_proxy 127.0.0.1:{backend}
}}
https://localhost:{tls['caddy']} {{
  bind 127.0.0.1
  tls {path('cert.pem')} {path('key.pem')}
  reverse_proxy 127.0.0.1:{backend}
}}
""")]).pid
    for name in who:
        until(f"{name} listens", lambda name=name: listens(plain[name]) and listens(tls[name]))

    spent, rates = {}, {}
    for number in range(ROUNDS):
        order = list(who)
        for name in order[number % len(order):] + order[:number % len(order)]:
            for kind, url in (("128", f"http://127.0.0.1:{plain[name]}/s"), ("64k", f"http://127.0.0.1:{plain[name]}/l"),
                              ("128-tls", f"https://localhost:{tls[name]}/s"), ("64k-tls", f"https://localhost:{tls[name]}/l")):
                used, rate = cost(who[name], url)
                spent.setdefault((name, kind), []).append(used)
                rates.setdefault((name, kind), []).append(rate)
    for (name, kind), values in spent.items():
        say(f"cpu.{name}.{kind}", statistics.median(values))
        say(f"rate.{name}.{kind}", statistics.median(rates[name, kind]))

    half = statistics.median(rates["nginx", "128"]) / 2
    say("half", half)
    seen = {}
    for number in range(ROUNDS):
        for name in ("turnout-1", "nginx", "turnout") if number % 2 else ("nginx", "turnout", "turnout-1"):
            seen.setdefault(name, []).append(latency(f"http://127.0.0.1:{plain[name]}/s", half))
        seen.setdefault("alone", []).append(latency(f"http://127.0.0.1:{backend}/s", half))
    for name, values in seen.items():
        say(f"p50.{name}", statistics.median(value[0] for value in values))
        say(f"p99.{name}", statistics.median(value[1] for value in values))

    if shutil.which("strace"):
        for name in ("nginx", "turnout-1"):
            for kind, count in calls(who[name], f"http://127.0.0.1:{plain[name]}/s").items():
                say(f"calls.{name}.{kind}", count)

    # Memory: of a fresh one with a route, with a thread for each processor, as it is by default.
    port, sockets = free_port(), socket.create_server(("127.0.0.1", 0), backlog=4096)
    fresh, _ = turnout_proxy(PROGRAM, "fresh", [route(port, backend)])
    until("fresh listens", lambda: listens(port))
    say("memory.idle", memory(fresh.pid))
    held = idle_connections(port, 1000)
    say("memory.1000", memory(fresh.pid))
    for link in held:
        link.close()
    many = free_port()
    wide, _ = turnout_proxy(PROGRAM, "wide", [route(many, sockets.getsockname()[1])], "--max-connections", "30000", "--max-connections-per-route", "30000")
    until("wide listens", lambda: listens(many))
    # Both ends are descriptors here, and the proxy has two for each as well.
    held = tunnels(many, sockets, min(10000, (files - 1100) // 2))
    say("memory.tunnels", memory(wide.pid))
    say("tunnels", len(held) // 2)


try:
    main()
finally:
    end_all()
