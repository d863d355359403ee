"""Programs that a measurement starts, and what all measurements of proxies ask of them.

The first argument of the program that uses this is the folder for their files.
"""

import json
import os
import socket
import subprocess
import sys
import time

WORK = sys.argv[1]
RUNNING = []


def say(key, value):
    print(key, f"{value:.3f}" if isinstance(value, float) else value, flush=True)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def path(*parts):
    return os.path.join(WORK, *parts)


def write(name, text):
    with open(path(name), "w", encoding="utf-8") as file:
        file.write(text)
    return path(name)


def start(name, command):
    with open(path(name + ".out"), "wb") as out:
        started = subprocess.Popen(command, stdout=out, stderr=out, cwd=WORK)
    RUNNING.append(started)
    return started


def until(what, done, patience=20):
    end = time.monotonic() + patience
    while not done():
        if time.monotonic() > end:
            raise SystemExit(f"waited {patience} s in vain: {what}")
        time.sleep(0.02)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(control, request):
    """One request over the control socket."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(control)
        link.sendall(json.dumps({"version": 1, **request}).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            more = link.recv(65536)
            if not more:
                break
            answer += more
    answer = json.loads(answer)
    if answer.get("answer") == "refused":
        raise SystemExit(f"turnout-proxy refused: {answer}")
    return answer


def turnout_proxy(program, name, routes, *options, level="warn"):
    os.makedirs(path(name), exist_ok=True)
    control = path(name, "control.sock")
    started = start(name, [program, "run", "--state-dir", path(name), "--socket", control, "--log-level", level, *options])
    until(name, lambda: os.path.exists(control))
    if routes:
        ask(control, {"request": "apply", "repository": "bench", "generation": 1, "revision": 0, "routes": routes})
    return started, control


def nginx(name, body):
    """An nginx with one worker, in the foreground."""
    text = f"""
daemon off; worker_processes 1; pid {path(name + '.pid')}; error_log stderr warn; 
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 75s; sendfile on; tcp_nopush on;
  client_body_temp_path {path('t')}; proxy_temp_path {path('t')}; fastcgi_temp_path {path('t')};
  uwsgi_temp_path {path('t')}; scgi_temp_path {path('t')};
  {body}
}}
"""
    return start(name, ["nginx", "-p", WORK, "-e", "stderr", "-c", write(name + ".conf", text)])


def route(port, backend, **more):
    target = {"name": "red", "generation": 1, "weight": 100, "targets": [f"127.0.0.1:{backend}"]}
    return {"listen": f"127.0.0.1:{port}", "protocol": "http", "state": "serve", "colours": [target], **more}


def end_all():
    """Ends what was started, the last one first."""
    for process in reversed(RUNNING):
        process.terminate()
    for process in RUNNING:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
