"""Running scripts over a link that fails."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis

from minicelery.connection import Clients
from minicelery.errors import ForeignData, RedisFull, RedisUnavailable
from minicelery.keys import Keys
from minicelery.scripts import Scripts
from minicelery.world import World

#: How Redis 6.2 begins to tell what a command inside a script met.
OLD = "Error running script (call to f_1): @user_script:1: @user_script: 1:"


class Link:
    """A client that fails as told before it does what it is asked."""

    def __init__(self, client: Any, *faults: Exception) -> None:
        self._client = client
        self.connection_pool = client.connection_pool
        self._faults = list(faults)

    def evalsha(self, *args: Any) -> Any:
        if self._faults:
            raise self._faults.pop(0)
        return self._client.evalsha(*args)

    def eval(self, *args: Any) -> Any:
        return self._client.eval(*args)


@pytest.fixture
def scripts(fake_clients: Clients) -> Callable[..., Scripts]:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    world = replace(World(), monotonic=lambda: clock[0], sleep=sleep, random=lambda: 1.0)
    return lambda *faults: Scripts(Link(fake_clients.commands, *faults), Keys(), world, patience=1.0)


def _wake(scripts: Scripts) -> Any:
    return scripts.run("wake", ["worker:w:wake"], [1])


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
