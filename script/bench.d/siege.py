"""Besieges a webhook server and measures good deliveries meanwhile: siege.py SCENARIO URL PID SECRET BODY [EVENT]

Prints one line: good deliveries answered with 2xx, all good deliveries, the slowest answer in milliseconds, the
server's peak of resident memory meanwhile in MiB. A delivery that is not answered within 15 seconds has failed.
"""

import asyncio
import hashlib
import hmac
import multiprocessing
import resource
import sys
import time
import urllib.parse

ROUNDS = 20
LARGE = 25_000_000


def sign(secret, body):
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def head(target, length, signature, close=False):
    lines = [
        f"POST {target.path} HTTP/1.1", f"Host: {target.netloc}", "Content-Type: application/json",
        "X-GitHub-Event: push", f"X-GitHub-Delivery: siege-{time.monotonic_ns()}", f"Content-Length: {length}",
    ]
    if signature:
        lines.append(f"X-Hub-Signature-256: {signature}")
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def connect(target):
    return await asyncio.open_connection(target.hostname, target.port)


async def hold(target, begin, up):
    """Begins, then waits for the server to end it; and again."""
    while True:
        try:
            reader, writer = await connect(target)
            writer.write(begin)
            await writer.drain()
            up()
            await reader.read()
            writer.close()
        except OSError:
            up()
        await asyncio.sleep(1)


async def flood(target, message, up):
    """One message after another over one connection, as fast as they are answered."""
    while True:
        try:
            reader, writer = await connect(target)
            while True:
                writer.write(message)
                await writer.drain()
                up()
                answer = await reader.readuntil(b"\r\n\r\n")
                length = next((line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
                await reader.readexactly(int(length.split(b":")[1]))
                if b"connection: close" in answer.lower():
                    break
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            up()
            await asyncio.sleep(0.05)


async def drip(target, up):
    """A chunked body of chunks of a byte, from many connections: what is kept of each chunk costs more than the chunk."""
    begin = head(target, 0, "sha256=" + "0" * 64).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    chunks = b"1\r\n[\r\n" * 10_000
    while True:
        try:
            reader, writer = await connect(target)
            writer.write(begin)
            for _ in range(50):
                writer.write(chunks)
                await writer.drain()
                up()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            await reader.read()
            writer.close()
        except OSError:
            up()
        await asyncio.sleep(0.05)


def large(name_last, secret=None):
    """A push of 25 MB: lists in lists, which cost a parser most; the repository before or behind them."""
    names = b'"repository":{"name":"shop","full_name":"acme/shop"}'
    ids = b'"ref":"refs/heads/main","before":"%s","after":"%s"' % (b"1" * 40, b"2" * 40)
    filler = b'"commits":[' + b",".join([b"[[[0,1],{}]]"] * (LARGE // 13)) + b"]"
    parts = [ids, filler, names] if name_last else [ids, names, filler]
    body = b"{" + b",".join(parts) + b"}"
    return body, sign(secret, body) if secret else "sha256=" + "0" * 64


async def besiege(scenario, target, secret, body, ready):
    waiting = {"half64": 64, "half2000": 2000, "idle2000": 2000, "chunks64": 64}.get(scenario, 8)
    begun = 0

    def up():
        nonlocal begun
        begun += 1
        if begun == waiting:
            ready.set()

    wrong = "sha256=" + "0" * 64
    if scenario.startswith("half"):
        begin = head(target, len(body), wrong) + body[: len(body) // 2]
        tasks = [hold(target, begin, up) for _ in range(waiting)]
    elif scenario == "idle2000":
        tasks = [hold(target, b"", up) for _ in range(waiting)]
    elif scenario == "chunks64":
        tasks = [drip(target, up) for _ in range(waiting)]
    elif scenario == "wrong":
        tasks = [flood(target, head(target, len(body), wrong) + body, up) for _ in range(waiting)]
    elif scenario == "unsigned25":
        whole, _ = large(False)
        tasks = [flood(target, head(target, len(whole), None) + whole, up) for _ in range(waiting)]
    elif scenario == "wrong25":
        whole, signature = large(True)
        tasks = [flood(target, head(target, len(whole), signature) + whole, up) for _ in range(waiting)]
    elif scenario == "signed25":
        whole, signature = large(False, secret)
        tasks = [flood(target, head(target, len(whole), signature) + whole, up) for _ in range(waiting)]
    else:
        raise SystemExit(f"there is no scenario {scenario}")
    await asyncio.gather(*tasks)


def siege(scenario, target, secret, body, ready):
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    asyncio.run(besiege(scenario, target, secret, body, ready))


async def good(target, secret, body, number):
    numbered = body[:-1] + b',"number":"%09d"}' % number
    begin = time.monotonic()

    async def exchange():
        reader, writer = await connect(target)
        writer.write(head(target, len(numbered), sign(secret, numbered), close=True) + numbered)
        await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer.startswith(b"HTTP/1.1 2") and b"not satisfied" not in answer

    try:
        taken = await asyncio.wait_for(exchange(), 15)
    except (OSError, asyncio.TimeoutError):
        taken = False
    return taken, (time.monotonic() - begin) * 1000


async def deliver(target, secret, body):
    answers = []
    begin = time.time_ns() % 100_000_000
    for number in range(ROUNDS):
        answers.append(await good(target, secret, body, begin + number))
        await asyncio.sleep(0.1)
    return answers


def peak(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def main():
    scenario, url, pid, secret, file = sys.argv[1:6]
    target, secret, body = urllib.parse.urlparse(url), secret.encode(), open(file, "rb").read().strip()
    with open(f"/proc/{pid}/clear_refs", "w") as clear:
        clear.write("5")
    context = multiprocessing.get_context("fork")
    ready, attacker = context.Event(), None
    if scenario != "quiet":
        attacker = context.Process(target=siege, args=(scenario, target, secret, body, ready), daemon=True)
        attacker.start()
        if not ready.wait(60):
            raise SystemExit(f"{scenario}: the siege has not begun after a minute")
    answers = asyncio.run(deliver(target, secret, body))
    if attacker:
        attacker.kill()
        attacker.join()
    taken = sum(1 for taken, _ in answers if taken)
    slowest = max(time for _, time in answers)
    print(f"{taken} {len(answers)} {slowest:.0f} {peak(pid):.0f}")


main()
