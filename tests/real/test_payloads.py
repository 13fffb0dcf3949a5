"""Any JSON value is the same at the task, in its result, over HTTP and on the WebSocket; any other is refused."""

import json
import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import date
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, example, given, settings

from minicelery import MiniCelery, Task, TaskContext, codec
from minicelery.errors import InvalidPayload
from minicelery.executor import Executor
from minicelery.message import Delivery
from minicelery.outcome import RetryPolicy
from minicelery.states import Status
from minicelery.time_limits import NO_TIME_LIMITS
from minicelery.web import create_app
from tests.real import payload_tasks
from tests.stack import Stack
from tests.watcher import Client

PATIENCE = 30.0
QUICK = settings(
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
integers = st.integers() | st.integers(-(2**70), 2**70) | st.integers(3000, 13_280).map(lambda bits: -(2**bits) + 1)
floats = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e-300, 1e-300)
scalars = st.none() | st.booleans() | integers | floats | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(texts, inner, max_size=6),
    max_leaves=20,
)

PEAKS = [
    0,
    1,
    1.0,
    True,
    -0.0,
    0.1 + 0.2,
    2**53 + 1,
    float(2**53),
    -(2**63) - 1,
    1e-320,
    5e-324,
    1.7976931348623157e308,
]
EDGES = [
    "",
    "\\u0000",
    "\\",
    '"',
    "\u2028\u2029",
    "\x7f\x1b[31m",
    "e\u0301 é",
    "👩\u200d🚀",
    "\ufeff",
    "\uffff",
    "</script>",
]
EMPTY: list[Any] = [[], {}, [[]], [{}], {"": {}}, {"": ""}, None, False, {"a": [], "A": {}}, {"b": 1, "a": 2}]
KEYS = {"__proto__": 1, "constructor": 2, "0": 3, "1e5": 4, "a.b/c~d": 5, "true": 6, "\n": 7}


def nested(levels: int, innermost: Any = None) -> Any:
    """A value of so many levels, lists and objects by turns."""
    for level in range(levels):
        innermost = [innermost] if level % 2 else {"k": innermost}
    return innermost


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(app="tests.real.payload_tasks:app") as running:
        yield running


@pytest.fixture(scope="module")
def celery(stack: Stack) -> Iterator[MiniCelery]:
    app = MiniCelery("payloads", redis_url=stack.redis_url)
    _declare(app)
    yield app
    app.clients.close()


def _declare(app: MiniCelery) -> "Task[..., list[Any]]":
    task = payload_tasks.app.tasks.find("echo")
    mine: Task[..., list[Any]] = Task(task.function, task.settings, app.submit, app.world.new_id)
    app.tasks.add(mine)
    return mine


def _check(answer: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    """The result of ``echo`` shows the values as they were sent, to the type and the bit."""
    expected = [args, kwargs, repr(tuple(args)), repr(kwargs)]
    assert repr(answer) == repr(expected)


def _completed(stack: Stack, task_id: str) -> Any:
    """The result in the event with which the task's WebSocket ends."""
    client = Client(stack.port, f"/ws/tasks/{task_id}")
    try:
        name, data = client.event(PATIENCE)
        while name != "completed":
            assert name != "failed", data
            name, data = client.event(PATIENCE)
        return data["result"]
    finally:
        client.close()


@given(args=st.lists(values, max_size=12), kwargs=st.dictionaries(texts, values, max_size=4))
@example(args=PEAKS, kwargs=KEYS)
@example(args=EDGES, kwargs={})
@example(args=EMPTY, kwargs={})
@example(args=[nested(codec.MAX_DEPTH - 3)], kwargs={"k": nested(codec.MAX_DEPTH - 3, [])})
@example(args=["ü" * 100_000, 10**4000 - 1], kwargs={})
@settings(QUICK, max_examples=60)
def test_any_json_value_is_the_same_everywhere(
    stack: Stack, celery: MiniCelery, args: list[Any], kwargs: dict[str, Any]
) -> None:
    by_python = celery.submit(celery.message("echo", args, kwargs))
    body = {"name": "echo", "args": args, "kwargs": kwargs, "task_id": str(uuid.uuid4())}
    answer = stack.post("/tasks", body)
    assert answer.status == 202, answer.body
    raw = json.dumps({**body, "task_id": None}, ensure_ascii=False).encode()
    unescaped = stack.request("POST", "/tasks", raw, {"Content-Type": "application/json"})

    _check(_completed(stack, body["task_id"]), args, kwargs)
    _check(by_python.get(PATIENCE), args, kwargs)
    _check(celery.result(unescaped.data["task_id"]).get(PATIENCE), args, kwargs)
    for task_id in (by_python.id, body["task_id"]):
        shown = stack.get(f"/tasks/{task_id}").data
        _check(shown["result"], args, kwargs)
        assert repr((shown["args"], shown["kwargs"])) == repr((args, kwargs))
        _check(_completed(stack, task_id), args, kwargs)  # the state that a late watcher is told


# ---- what is refused ----------------------------------------------------------------------------


class Anything:
    """No type of JSON."""


class Returning:
    """A task with a given result, that would be retried for anything."""

    policy = RetryPolicy(retry_for=(BaseException,))
    time_limits = NO_TIME_LIMITS
    is_isolated = False
    max_memory_mb: int | None = None
    ignores_result = False

    def __init__(self, value: Any) -> None:
        self.value = value

    def run(self, context: Callable[[], TaskContext], args: list[Any], kwargs: dict[str, Any]) -> Any:
        return self.value


@pytest.fixture
def echo(fake_app: MiniCelery) -> "Task[..., Any]":
    return _declare(fake_app)


BAD: list[Any] = [
    *(math.nan, math.inf, -math.inf),
    *("\ud800", "a\udfffb", "\x00", "a\x00b", {"\x00": 1}, {"\ud800": 1}),
    *(b"bytes", bytearray(b"x"), {1}, frozenset(), Anything(), Anything, 1j, Decimal(1), date(2026, 1, 1), range(3)),
    *({1: 1}, {None: 1}, {True: 1}, {1.5: 1}, {("a",): 1}, {b"k": 1}),
    *(10**4000, -(10**4000), 2**20_000, nested(codec.MAX_DEPTH + 1), nested(codec.MAX_DEPTH + 1, 0), nested(5_000)),
]


def _wrap(value: Any, steps: list[Any]) -> tuple[Any, str]:
    """The value inside of lists and objects, and the pointer to it."""
    pointer = ""
    for step in reversed(steps):
        if isinstance(step, int):
            value, pointer = [*range(step), value], f"/{step}{pointer}"
        else:
            value, pointer = {"good": [], step: value}, f"/{step}{pointer}"
    return value, pointer


bad_values = st.tuples(
    st.sampled_from(BAD),
    st.lists(st.integers(0, 3) | st.sampled_from(["a", "b"]), max_size=5),
)


@given(bad=bad_values)
@settings(QUICK, max_examples=150)
def test_any_other_value_is_refused_by_delay_with_its_place(
    fake_app: MiniCelery, echo: "Task[..., Any]", bad: tuple[Any, list[Any]]
) -> None:
    value, pointer = _wrap(*bad)

    for call in (lambda: echo.delay(1, value), lambda: echo.delay(k=value)):
        with pytest.raises(InvalidPayload) as caught:
            call()
        start = "/args/1" if "/args" in caught.value.pointer else "/kwargs/k"
        assert caught.value.pointer.startswith(start + pointer)
        assert caught.value.detail

    assert not list(fake_app.clients.commands.scan_iter("*"))


@given(bad=bad_values)
@settings(QUICK, max_examples=150)
def test_any_other_value_as_a_result_is_a_failure_without_a_retry(bad: tuple[Any, list[Any]]) -> None:
    value, pointer = _wrap(*bad)
    executor = Executor(lambda _: Returning(value), lambda *_: True, lambda: 0.5)

    outcome = executor.execute(Delivery("id", "1.x", "t", "[]", "{}", "default", 0, 3, 0.0))

    assert outcome
    assert outcome.status is Status.FAILED
    error = codec.decode(outcome.body)
    assert error["type"] == "minicelery.errors.InvalidPayload"
    assert error["message"].startswith(f"/result{pointer}")


@pytest.mark.parametrize("size", [codec.MAX_BYTES - 1, codec.MAX_BYTES])
def test_a_value_may_be_as_large_as_the_limit_and_no_larger(echo: "Task[..., Any]", size: int) -> None:
    text = "x" * (size - len('[""]') + 1)

    with pytest.raises(InvalidPayload, match="above the limit") if size == codec.MAX_BYTES else nullcontext():
        echo.delay(text)


TEXTS: dict[str, tuple[bytes, int, str]] = {
    "NaN": (b"NaN", 400, "NaN is not JSON"),
    "infinity": (b"[Infinity]", 400, "Infinity is not JSON"),
    "minus infinity": (b'{"a":-Infinity}', 400, "-Infinity is not JSON"),
    "a number beyond all floats": (b"1e400", 422, "not a finite number"),
    "a lone surrogate": (rb'"\ud800"', 422, "lone surrogate"),
    "surrogates in the wrong order": (rb'"\udc00\ud800"', 422, "lone surrogate"),
    "a NUL": (rb'"a\u0000"', 422, "NUL"),
    "a NUL in a key": (rb'{"\u0000":1}', 422, "NUL"),
    "a raw NUL": (b'"\x00"', 400, "not JSON"),
    "a raw line break in a string": (b'"a\nb"', 400, "not JSON"),
    "no UTF-8": (b'"\xff"', 400, "not UTF-8"),
    "a surrogate in UTF-8": (b'"\xed\xa0\x80"', 400, "not UTF-8"),
    "Latin-1": ('"é"'.encode("latin-1"), 400, "not UTF-8"),
    "a key twice": (b'{"a":1,"a":1}', 400, "twice"),
    "a key twice, once escaped": (rb'{"a":1,"\u0061":2}', 400, "twice"),
    "too many digits": (b"1" * 4_001, 422, "digits"),
    "too many digits, below zero": (b"-" + b"1" * 4_001, 422, "digits"),
    "far too many digits": (b"1" * 4_301, 400, "digits"),
    "one level too many": (b"[" * 64 + b"]" * 64, 422, "nested deeper"),
    "far too many levels": (b"[" * 400_000 + b"]" * 400_000, 400, "nested"),
    "a single quote": (b"'a'", 400, "not JSON"),
    "a trailing comma": (b"[1,]", 400, "not JSON"),
    "a comment": (b"1/*one*/", 400, "not JSON"),
    "an unfinished value": (b"[1", 400, "not JSON"),
    "a hexadecimal number": (b"0x10", 400, "not JSON"),
    "a leading zero": (b"012", 400, "not JSON"),
    "a plus sign": (b"+1", 400, "not JSON"),
    "undefined": (b"undefined", 400, "not JSON"),
}


@pytest.mark.parametrize("what", TEXTS)
@pytest.mark.parametrize("field", ["args", "kwargs"])
@pytest.mark.usefixtures("echo")
def test_any_other_text_is_refused_over_http_with_the_reason(fake_app: MiniCelery, what: str, field: str) -> None:
    text, status, reason = TEXTS[what]
    given_as = b'"args":[%s]' % text if field == "args" else b'"kwargs":{"k":%s}' % text

    answer = _http(fake_app).post("/tasks", data=b'{"name":"echo",%s}' % given_as, content_type="application/json")

    assert answer.status_code == status
    problem = answer.get_json()
    assert reason in json.dumps(problem)
    if status == 422:
        assert problem["errors"][0]["pointer"].startswith(f"/{field}")
    assert not list(fake_app.clients.commands.scan_iter("*"))


@pytest.mark.usefixtures("echo")
def test_a_body_above_the_limit_is_refused(fake_app: MiniCelery) -> None:
    body = json.dumps({"name": "echo", "args": ["x" * codec.MAX_BYTES]})

    assert _http(fake_app).post("/tasks", data=body, content_type="application/json").status_code == 413


def _http(app: MiniCelery) -> FlaskClient:
    return create_app(app).test_client()
