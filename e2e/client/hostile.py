"""Be rude to a gateway over plain sockets and print, as JSON, what each rudeness was answered; runs in a pod.

argv: HOST, MODEL, KEY. An answer is [status code, OpenAI error code or null], or what the connection did.
"""

import json
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

HOST, MODEL, KEY = sys.argv[1:4]
BODY = json.dumps({"model": MODEL, "prompt": "hello", "max_tokens": 4}).encode()
RESUME = json.dumps(
    {"model": MODEL, "prompt": "x", "stream": True, "octavo_resume": {"choices": []}}
).encode()
LONG = json.dumps(
    {"model": MODEL, "prompt": "hello", "max_tokens": 900, "ignore_eos": True, "stream": True}
).encode()


def connect() -> socket.socket:
    connection = socket.create_connection((HOST, 80), timeout=20)
    connection.settimeout(20)
    return connection


def head(*more: str, key: str = KEY, length: int | None = None) -> bytes:
    lines = ["POST /v1/completions HTTP/1.1", f"host: {HOST}", f"authorization: Bearer {key}"]
    if length is not None:
        lines.append(f"content-length: {length}")
    return "\r\n".join([*lines, *more]).encode() + b"\r\n\r\n"


def answer(connection: socket.socket) -> Any:
    """The first answer on the connection."""
    received = b""
    try:
        while b"\r\n\r\n" not in received:
            part = connection.recv(65536)
            if not part:
                return "closed"
            received += part
        top, _, body = received.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in top.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            ),
            0,
        )
        while len(body) < length:
            body += connection.recv(65536)
    except OSError as error:
        return type(error).__name__
    try:
        code = json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = None
    return [int(top.split()[1]), code]


def send(*parts: bytes) -> Any:
    with connect() as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except OSError:
            pass  # it answers before it has read all: the answer counts
        return answer(connection)


def flood(number: int) -> Any:
    codes: dict[str, int] = {}
    for _ in range(number):
        found = send(head(length=len(BODY)), BODY)
        name = str(found[0]) if isinstance(found, list) else found
        codes[name] = codes.get(name, 0) + 1
    return codes


def slow_readers(number: int) -> Any:
    """They ask for long streams, read nothing for a while, and then leave."""
    connections = [connect() for _ in range(number)]
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.sendall(head(length=len(LONG)) + LONG)
    time.sleep(8)
    for connection in connections:
        connection.close()
    return "left"


def half_open(number: int) -> Any:
    """They send half a request, and wait."""
    connections = [connect() for _ in range(number)]
    for connection in connections:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-len")
    time.sleep(3)
    still_served = send(head(length=len(BODY)), BODY)
    for connection in connections:
        connection.close()
    return still_served


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
RUDENESS: dict[str, Callable[[], Any]] = {
    "good": lambda: send(head(length=len(BODY)), BODY),
    "wrong key": lambda: send(head(length=len(BODY), key="wrong"), BODY),
    "unknown model": lambda: send(head(length=11), b'{"model":1}'),
    "not json": lambda: send(head(length=5), b"{nope"),
    "huge body": lambda: send(head(length=40 * 2**20), *[b"x" * 2**20] * 40),
    "huge header": lambda: send(head(f"x-much: {'y' * 200_000}", length=2), b"{}"),
    "endless header": lambda: send(b"POST /v1/completions HTTP/1.1\r\n", *[b"x-more: " + b"y" * 8192] * 64),
    "length and chunks": lambda: send(head("transfer-encoding: chunked", length=6), b"0\r\n\r\n", SMUGGLED),
    "two lengths": lambda: send(head("content-length: 5", length=6), b"{}    "),
    "chunks, oddly": lambda: send(head("transfer-encoding: xchunked"), b"0\r\n\r\n", SMUGGLED),
    "negative length": lambda: send(head(length=-1)),
    "resume of its own": lambda: send(head(length=len(RESUME)), RESUME),
    "half open": lambda: half_open(200),
    "slow readers": lambda: slow_readers(32),
    "flood": lambda: flood(60),
}


def main() -> None:
    print(json.dumps({name: rude() for name, rude in RUDENESS.items()}))


if __name__ == "__main__":
    main()
