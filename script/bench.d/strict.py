"""What proxies make of requests that can be understood in two ways: one row of a table an attempt.

    strict.py WORK TURNOUT_PROXY SMUGGLING_RS

The attempts are those of turnout-proxy's own tests. Each goes to turnout-proxy, nginx, HAProxy and Caddy, which stand before the same
container, with a request behind it that would be one of its own. Said is the status of the first answer, in brackets if the
container gave it: then the proxy has passed the attempt on, mended or as it was.
"""

import re
import shutil
import socket
import sys
import threading

from servers import end_all, free_port, listens, nginx, path, route, start, turnout_proxy, until, write

PROGRAM, SOURCE = sys.argv[2], sys.argv[3]
BEHIND = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
PATIENCE = 3


def container():
    """Answers whatever comes with 200 and a mark of its own, and closes: it tells no length from another."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            link, _ = listener.accept()
            threading.Thread(target=answer, args=(link,), daemon=True).start()

    def answer(link):
        with link:
            link.settimeout(PATIENCE)
            said = b""
            try:
                while b"\r\n\r\n" not in said and (more := link.recv(65536)):
                    said += more
                if said:
                    link.sendall(b"HTTP/1.1 200 OK\r\nX-Container: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    link.shutdown(socket.SHUT_WR)
                    while link.recv(65536):
                        pass
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def attempts():
    """From the source of the tests: what it is, its bytes, and the status that turnout-proxy is to give."""
    text = open(SOURCE, encoding="utf-8").read()
    word = r'"((?:[^"\\]|\\.)*)"'
    heads = text[text.index("const ATTEMPTS"):text.index("const CHUNKS")]
    for what, said, status in re.findall(rf'\(\s*{word},\s*{word},\s*(\d+),?\s*\)', heads):
        yield what, bytes_of(said), int(status)
    chunks = text[text.index("const CHUNKS"):]
    chunks = chunks[:chunks.index("];")]
    for what, said in re.findall(rf'\(\s*{word},\s*{word},?\s*\)', chunks):
        yield f"a chunk with {what}", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + bytes_of(said), 400


def bytes_of(literal):
    """Of a literal in Rust."""
    known = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", '"': '"', "\\": "\\"}
    said = re.sub(r"\\x([0-9a-f]{2})|\\(.)", lambda found: chr(int(found[1], 16)) if found[1] else known[found[2]], literal)
    return said.encode("latin-1")


def outcome(port, said):
    """The status of the first answer, in brackets if the container gave it; `closed` or `waits` where there is none."""
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.settimeout(PATIENCE)
        came = b""
        try:
            link.sendall(said + BEHIND)
            while b"\r\n\r\n" not in came and (more := link.recv(65536)):
                came += more
        except TimeoutError:
            return "waits"
        except OSError:
            pass
    found = re.match(rb"HTTP/1\.\d (\d{3})", came)
    if not found:
        return "closed" if not came else "no head"
    status = found[1].decode()
    return f"({status})" if b"x-container" in came.lower() else status


def main():
    backend, ports = container(), {}
    for name in ("turnout-proxy", "nginx", "HAProxy", "Caddy"):
        ports[name] = free_port()
    turnout_proxy(PROGRAM, "strict", [route(ports["turnout-proxy"], backend)])
    nginx("nginx", f"server {{ listen 127.0.0.1:{ports['nginx']}; location / {{ proxy_pass http://127.0.0.1:{backend}; proxy_http_version 1.1; }} }}")
    start("haproxy", ["haproxy", "-db", "-f", write("haproxy.conf", f"""
defaults
  mode http
  timeout connect 5s
  timeout client {PATIENCE + 2}s
  timeout server {PATIENCE + 2}s
frontend f
  bind 127.0.0.1:{ports['HAProxy']}
  default_backend b
backend b
  server one 127.0.0.1:{backend}
""")])
    if shutil.which("caddy"):
        start("caddy", ["caddy", "run", "--adapter", "caddyfile", "--config", write("Caddyfile", f"""
{{
  admin off
  auto_https off
  storage file_system {path('caddy')}
}}
http://:{ports['Caddy']} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{backend}
}}
""")])
    else:
        del ports["Caddy"]
    for name, port in ports.items():
        until(f"{name} listens", lambda port=port: listens(port))
    passed, wrong = dict.fromkeys(ports, 0), []
    print("| attempt |", " | ".join(ports), "|")
    print("|---|" + "---|" * len(ports))
    count = 0
    for what, said, wanted in attempts():
        count += 1
        outcomes = {name: outcome(port, said) for name, port in ports.items()}
        for name, came in outcomes.items():
            passed[name] += came.startswith("(")
        if outcomes["turnout-proxy"] != str(wanted):
            wrong.append(f"{what}: {outcomes['turnout-proxy']} instead of {wanted}")
        print(f"| {what} |", " | ".join(outcomes.values()), "|")
    print(f"| **passed on, of {count}** |", " | ".join(f"**{passed[name]}**" for name in ports), "|")
    if wrong:
        raise SystemExit("turnout-proxy answered otherwise than its tests say: " + "; ".join(wrong))


if __name__ == "__main__":
    try:
        main()
    finally:
        end_all()
