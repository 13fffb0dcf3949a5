"""The clients that load a web process, and what is made of their answers."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest

from bench.contender import OURS, WEB, Contender
from bench.contenders import ALL
from bench.load import Answers, Load, Wish, length_of
from bench.scenarios import web
from bench.trial import Failed
from minicelery.web import gunicorn_config


class Numbered(BaseHTTPRequestHandler):
    """Numbers its answers, tells how many connections it has had, and refuses what has a body of "no"."""

    protocol_version = "HTTP/1.1"
    numbers = count()
    connections: set[object]

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        self.connections.add(self.connection)
        body = b"%d" % next(self.numbers)
        self.send_response(409 if asked == b"no" else 201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not here."""


@pytest.fixture
def port() -> Iterator[int]:
    Numbered.connections = set()
    with ThreadingHTTPServer(("127.0.0.1", 0), Numbered) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def load(port: int) -> Iterator[Load]:
    made = Load(port)
    yield made
    made.close()


def test_without_time_each_connection_makes_one_request(load: Load) -> None:
    answers = load.make((Wish("POST", "/", "yes", connections=3), 0.0))

    assert (answers.count, answers.different, len(Numbered.connections)) == (3, 3, 3)


def test_connections_stay_open_from_one_request_to_the_next(load: Load) -> None:
    wish = Wish("POST", "/", "yes", connections=2)

    answers = load.make((wish, 0.05))
    load.make((wish, 0.0))

    assert answers.count > 2
    assert answers.different == answers.count
    assert len(Numbered.connections) == 2


def test_an_answer_that_is_no_success_is_told(load: Load) -> None:
    with pytest.raises(Failed, match=r"answered so: .*409"):
        load.make((Wish("POST", "/", "no"), 0.0))


def test_an_answer_that_does_not_tell_its_length_is_refused() -> None:
    assert length_of(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nmore") == 12
    with pytest.raises(Failed, match="chunked"):
        length_of(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


def test_a_rate_counts_tasks_and_times_count_requests() -> None:
    answers = Answers(times=[0.2, 0.3, 0.1, 0.4], seconds=2.0, own=0.1)

    figures = web.figures_of(answers, 50, cpu=1.0)

    expected = {"rate": 100.0, "p50": 300.0, "p99": 400.0, "cpu": 5000.0, "own": 5.0, "tasks": 50}
    assert figures == pytest.approx(expected)


def test_the_gunicorn_of_the_other_is_set_up_as_ours() -> None:
    ours, theirs = (_web_process(name) for name in (OURS, "celery"))
    config = ("threads", "timeout", "keepalive")
    flags = [theirs[theirs.index(flag) + 1] for flag in ("--threads", "--timeout", "--keep-alive")]

    assert flags == [str(getattr(gunicorn_config, name)) for name in config]
    assert gunicorn_config.worker_class == f"minicelery.web.{theirs[theirs.index('-k') + 1]}"
    assert not any(flag in ours + theirs for flag in ("-w", "--workers"))


def _web_process(name: str) -> tuple[str, ...]:
    contender: Contender = next(one for one in ALL if one.name == name and one.only == WEB)
    [command] = contender.commands
    return command
