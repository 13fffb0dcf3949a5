"""Bodies that are not what they claim to be, over a real connection to gunicorn."""

import json
import socket
from collections.abc import Iterator

import pytest

from minicelery.embedded import HOST
from tests.stack import Stack

GOOD = b'{"name": "add", "args": [1, 2]}'
LIMIT = 1_048_576


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(worker=False) as running:
        yield running


def send(stack: Stack, headers: str, body: bytes) -> tuple[int, dict[str, object]]:
    """One request by hand, after which our side of the connection is closed for writing."""
    with socket.create_connection((HOST, stack.port), timeout=20) as sock:
        lines = ("POST /tasks HTTP/1.1", "Host: x", "Content-Type: application/json", "Connection: close", headers)
        sock.sendall("\r\n".join((*lines, "", "")).encode() + body)
        sock.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
    head, _, rest = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), json.loads(rest)


def chunked(body: bytes, size: int = 60_000) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_a_chunked_body_is_taken(stack: Stack) -> None:
    assert send(stack, "Transfer-Encoding: chunked", chunked(GOOD, 7))[0] == 202


def test_a_chunked_body_over_the_limit_is_refused_whatever_it_begins_with(stack: Stack) -> None:
    status, problem = send(stack, "Transfer-Encoding: chunked", chunked(GOOD + b" " * LIMIT + b"GARBAGE"))

    assert status == 413
    assert "MINICELERY_MAX_BODY_BYTES" in str(problem["detail"])


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("Transfer-Encoding: chunked", b"zz\r\n"),
        ("Transfer-Encoding: chunked", b"5\r\n{"),
        ("Content-Length: 500", GOOD),
    ],
)
def test_a_body_that_does_not_arrive_whole_is_refused(stack: Stack, headers: str, body: bytes) -> None:
    status, problem = send(stack, headers, body)

    assert status == 400
    assert "send it anew" in str(problem["detail"])


def test_nothing_of_the_refused_was_submitted(stack: Stack) -> None:
    before = stack.get("/queue/stats").data["queue_length"]

    send(stack, "Content-Length: 500", GOOD)

    assert stack.get("/queue/stats").data["queue_length"] == before
