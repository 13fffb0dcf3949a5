"""Running scripts over a link that fails."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from importlib import resources
from typing import Any

import pytest
import redis

from minicelery import MiniCelery
from minicelery.broker import Broker
from minicelery.config import Config
from minicelery.connection import Clients, connect
from minicelery.embedded import free_port
from minicelery.errors import ForeignData, RedisFull, RedisUnavailable
from minicelery.keys import Keys
from minicelery.linking import link
from minicelery.message import Message
from minicelery.scripts import Scripts
from minicelery.states import Status
from minicelery.world import World
from tests.tapped import Tapped

#: How Redis 6.2 begins to tell what a command inside a script met.
OLD = "Error running script (call to f_1): @user_script:1: @user_script: 1:"


class Faulty(Tapped):
    """A client that fails as told, instead of calling a script by its name."""

    def __init__(self, client: Any, *faults: Exception) -> None:
        super().__init__(client)
        self._faults = list(faults)
        self.sent: list[Any] = []

    def pack_command(self, *words: Any) -> Any:
        self.sent.append(words[0])
        self._fails = bool(self._faults) and words[0] != b"EVAL"
        return super().pack_command(*(["PING"] if self._fails else words))

    def read_response(self) -> Any:
        answer = super().read_response()
        if self._fails:
            raise self._faults.pop(0)
        return answer


@pytest.fixture
def scripts(fake_clients: Clients) -> Callable[..., Scripts]:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    world = replace(World(), monotonic=lambda: clock[0], sleep=sleep, random=lambda: 1.0)
    return lambda *faults: Scripts(Faulty(fake_clients.commands, *faults), Keys(), world, patience=1.0)


def _wake(scripts: Scripts) -> Any:
    return scripts.run("wake", ["worker:w:wake", "worker:w:claims"], [1])


@pytest.mark.parametrize(
    "fault",
    [
        redis.ConnectionError(),
        redis.TimeoutError(),
        redis.exceptions.BusyLoadingError(),
        redis.exceptions.ReadOnlyError(),
        redis.exceptions.NoScriptError(),
        redis.ResponseError(f"{OLD} -READONLY You can't write against a read only replica."),
        redis.exceptions.ClusterDownError("The cluster is down"),
        redis.ResponseError("NOREPLICAS Not enough good replicas to write."),
        redis.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        redis.ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed"),
    ],
)
def test_a_call_without_an_answer_is_repeated(scripts: Callable[..., Scripts], fault: Exception) -> None:
    assert _wake(scripts(fault, fault)) == 1


def test_repeats_end_with_the_patience(scripts: Callable[..., Scripts]) -> None:
    with pytest.raises(RedisUnavailable, match="running wake"):
        _wake(scripts(*[redis.ConnectionError("refused")] * 100))


@pytest.mark.parametrize(
    "fault", [redis.exceptions.OutOfMemoryError("maxmemory"), redis.ResponseError(f"{OLD} -OOM command not allowed")]
)
def test_a_full_redis_is_not_asked_again(scripts: Callable[..., Scripts], fault: Exception) -> None:
    with pytest.raises(RedisFull):
        _wake(scripts(fault))


@pytest.mark.parametrize("text", ["MISCONF disk", "NOAUTH who", "DENIED protected mode", f"{OLD} -MISCONF disk"])
def test_a_redis_that_refuses_is_unavailable(scripts: Callable[..., Scripts], text: str) -> None:
    with pytest.raises(RedisUnavailable, match="refuses"):
        _wake(scripts(*[redis.ResponseError(text)] * 100))


def test_an_error_of_ours_is_not_taken_for_an_outage(scripts: Callable[..., Scripts]) -> None:
    with pytest.raises(redis.ResponseError, match="ours"):
        _wake(scripts(redis.ResponseError("ERR ours")))


@pytest.mark.parametrize("text", ["WRONGTYPE what", f"{OLD} -WRONGTYPE what"])
def test_a_key_that_another_program_has_taken_is_said_so_with_the_cure(
    scripts: Callable[..., Scripts], text: str
) -> None:
    with pytest.raises(ForeignData, match="see minicelery doctor"):
        _wake(scripts(redis.ResponseError(text)))


def test_several_scripts_go_in_one_round_trip_and_answer_in_order(real_app: MiniCelery) -> None:
    client = Faulty(real_app.clients.commands)
    scripts = Scripts(client, real_app.keys, World(), patience=1.0)

    real_app.scripts.load_all()
    answers = scripts.run_all(("wake", "promote", "wake"), [(["a", "x"], [3]), (["b"], [10, 0]), (["c", "x"], [5])])

    assert answers == [1, [0, ""], 1]
    assert client.sent == [b"EVALSHA"] * 3


def test_of_several_scripts_those_that_redis_has_forgotten_are_sent_again(real_app: MiniCelery) -> None:
    client = Faulty(real_app.clients.commands)
    scripts = Scripts(client, real_app.keys, World(), patience=1.0)
    real_app.clients.commands.script_flush()
    scripts.run("wake", ["a", "x"], [1])
    client.sent.clear()

    answers = scripts.run_all(("promote", "wake"), [(["b"], [10, 0]), (["a", "x"], [1])])

    assert answers == [[0, ""], 1]
    assert client.sent == [b"EVALSHA", b"EVALSHA", b"EVAL"]


def test_of_several_scripts_one_that_is_refused_is_told_and_the_others_are_done(real_app: MiniCelery) -> None:
    client = real_app.clients.commands
    client.set("taken", "by another")

    with pytest.raises(ForeignData):
        real_app.scripts.run_all(("wake", "wake"), [(["taken", "x"], [1]), (["free", "x"], [1])])

    assert client.llen("free") == 1
    client.delete("taken", "free")


class Log(Faulty):
    """Notes when something is sent and when an answer is read."""

    def __init__(self, client: Any, *faults: Exception) -> None:
        super().__init__(client, *faults)
        self.log: list[str] = []

    def send_packed_command(self, command: Any) -> None:
        self.log.append("sent")
        super().send_packed_command(command)

    def read_response(self) -> Any:
        self.log.append("read")
        return super().read_response()


def _rings(counts: Iterable[int]) -> Iterator[tuple[list[str], list[int]]]:
    """Calls of "wake" that leave as many rings each."""
    return ((["bell", "x"], [count]) for count in counts)


def test_of_many_calls_the_next_is_sent_before_the_last_is_answered(real_app: MiniCelery) -> None:
    real_app.scripts.load_all()
    client = Log(real_app.clients.commands)
    scripts = Scripts(client, real_app.keys, World(), patience=1.0)

    assert [*scripts.run_each("wake", _rings([1, 2, 3]))] == [1, 1, 1]
    assert client.log == ["sent", "sent", "read", "sent", "read", "read"]


class Deaf(Tapped):
    """Does not hear one of the answers."""

    def __init__(self, client: Any, number: int) -> None:
        super().__init__(client)
        self._until = number

    def read_response(self) -> Any:
        answer = super().read_response()
        self._until -= 1
        if self._until == 0:
            raise redis.ConnectionError
        return answer


@pytest.mark.parametrize("number", [1, 2, 3])
def test_of_many_calls_the_one_whose_answer_is_lost_is_repeated_and_then_it_goes_on(
    real_app: MiniCelery, number: int
) -> None:
    real_app.scripts.load_all()
    scripts = Scripts(Deaf(real_app.clients.commands, number), real_app.keys, World(), patience=1.0)

    assert _sent(real_app, scripts) == ["1", "2", "3", "4", "5"]


def test_of_many_calls_those_that_redis_has_forgotten_are_sent_again(real_app: MiniCelery) -> None:
    real_app.clients.commands.script_flush()

    assert _sent(real_app, real_app.scripts) == ["1", "2", "3", "4", "5"]


def _sent(app: MiniCelery, scripts: Scripts) -> list[str]:
    """Submit five tasks in three calls; the ids that wait then, the next in front."""
    messages = [Message(str(number), "add", "[1,2]", "{}", "default", 3) for number in range(1, 6)]

    states = Broker(scripts, app.keys, 60).enqueue_each(iter([messages[:2], messages[2:3], messages[3:]]))

    assert [*states] == [[Status.PENDING] * count for count in (2, 1, 2)]
    return list(app.clients.commands.lrange(app.keys.queue("default"), 0, -1))[::-1]


def test_of_many_calls_one_that_is_refused_ends_it_with_the_answers_before_it(real_app: MiniCelery) -> None:
    commands, answers = real_app.clients.commands, list[Any]()
    commands.set("taken", "by another")
    calls = [([key, "x"], [1]) for key in ("a", "b", "taken", "c", "d")]

    with pytest.raises(ForeignData):
        answers.extend(real_app.scripts.run_each("wake", iter(calls)))

    assert answers == [1, 1]
    assert commands.llen("d") == 0, "only what was sent with it may be done"


def test_many_calls_to_a_redis_that_is_away_end_with_the_patience() -> None:
    clock = [0.0]
    world = replace(World(), monotonic=lambda: clock[0], sleep=lambda seconds: clock.append(clock.pop() + seconds))
    clients = connect(Config(redis_url=f"redis://127.0.0.1:{free_port()}"))

    with pytest.raises(RedisUnavailable):
        Scripts(clients.commands, Keys(), world, patience=1.0).run_each("wake", _rings([1])).__next__()


@pytest.mark.parametrize(
    "seconds", ["0", "951782399.999", "951782400", "951868800", "1709164800.001", "4107542399.5", "4107542400"]
)
def test_a_time_of_an_event_is_what_python_makes_of_it(real_app: MiniCelery, seconds: str) -> None:
    prelude = (resources.files("minicelery") / "lua" / "prelude.lua").read_text()

    [text] = real_app.clients.commands.eval(link(prelude, "return {when(tonumber(ARGV[2]))}"), 0, "", seconds)

    assert datetime.fromisoformat(text.strip('"')).timestamp() == float(seconds)
