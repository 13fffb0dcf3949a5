"""The Pub/Sub connection against a Redis that is played by the test, with a clock that the test winds."""

import queue
import selectors
import socket
from collections.abc import Callable, Iterator
from typing import Any

import hiredis
import pytest

from minicelery.errors import RedisUnavailable
from minicelery.web.channels import SILENCE, Channels, Link
from minicelery.world import World

PATIENCE = 10.0


class Redis:
    """The server's end of the latest connection."""

    def __init__(self) -> None:
        self.is_up = True
        self.ends: list[socket.socket] = []

    def connect(self) -> Link:
        if not self.is_up:
            raise RedisUnavailable("no Redis here")
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        self.ends.append(ours)
        self._commands = hiredis.Reader(encoding="utf-8")
        return Link(Connection(theirs))

    def command(self) -> list[str]:
        """The next command, which is an array of words, as replies are."""
        while (found := self._commands.gets()) is False:
            self._commands.feed(self.ends[-1].recv(65_536))
        return list(found)

    def has_command(self) -> bool:
        self.ends[-1].setblocking(False)
        try:
            self._commands.feed(self.ends[-1].recv(65_536))
        except BlockingIOError:
            pass
        finally:
            self.ends[-1].settimeout(PATIENCE)
        return self._commands.has_data()

    def say(self, reply: bytes) -> None:
        self.ends[-1].sendall(reply)

    def acknowledge(self, *channels: str) -> None:
        for channel in channels:
            self.say(b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n" % (len(channel), channel.encode()))

    def publish(self, channel: str, text: str) -> None:
        parts = (channel.encode(), text.encode())
        self.say(b"*3\r\n$7\r\nmessage\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))


class Connection:
    """As much of redis-py's as a link uses."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def _get_socket(self) -> socket.socket:
        return self.sock

    def disconnect(self) -> None:
        self.sock.close()


class Owner:
    """Notes what it is told, and plays the loop."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.now = 100.0
        self.told: list[Any] = []
        self.is_behind = False
        self.posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.selector = selectors.DefaultSelector()
        world = World(monotonic=lambda: self.now, random=lambda: 1.0)
        self.channels = Channels(redis.connect, self.selector, self.post, self, world)

    def post(self, call: Callable[[], None]) -> bool:
        self.posted.put(call)
        return True

    def heard(self, channel: str, text: str) -> None:
        self.told.append((channel, text))

    def confirmed(self, channel: str) -> None:
        self.told.append(channel)

    def lost(self, error: RedisUnavailable) -> None:
        self.told.append("lost")

    def restored(self) -> None:
        self.told.append("restored")

    def connect(self) -> None:
        """A turn that connects, up to the end of connecting."""
        self.channels.turn()
        self.posted.get(timeout=PATIENCE)()
        self.channels.turn()

    def listen(self) -> list[Any]:
        """Let the channels read what has come, and give what they told."""
        for key, mask in self.selector.select(PATIENCE):
            key.data(mask)
        self.channels.turn()
        told, self.told = self.told, []
        return told

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.channels.turn()


@pytest.fixture
def redis() -> Iterator[Redis]:
    redis = Redis()
    yield redis
    for end in redis.ends:
        end.close()


@pytest.fixture
def owner(redis: Redis) -> Iterator[Owner]:
    owner = Owner(redis)
    yield owner
    owner.channels.close()
    owner.selector.close()


def test_nothing_is_connected_before_a_channel_is_wanted(owner: Owner) -> None:
    owner.channels.turn()

    assert owner.posted.empty()
    assert owner.channels.due is None


def test_while_the_owner_is_behind_what_comes_in_stays_with_redis(owner: Owner, redis: Redis) -> None:
    owner.channels.want("a")
    owner.connect()
    redis.acknowledge("a")
    redis.publish("a", "an event")

    owner.is_behind = True
    assert owner.listen() == []
    owner.is_behind = False

    assert owner.listen() == ["a", ("a", "an event")]


def test_the_wishes_of_a_turn_go_out_in_one_command(owner: Owner, redis: Redis) -> None:
    owner.channels.want("a")
    owner.connect()
    assert redis.command() == ["SUBSCRIBE", "a"]

    for channel in "bcd":
        owner.channels.want(channel)
    owner.channels.forget("a")
    owner.channels.forget("d")
    owner.channels.turn()

    command, *names = redis.command()
    assert (command, sorted(names)) == ("SUBSCRIBE", ["b", "c"])
    assert redis.command() == ["UNSUBSCRIBE", "a"]
    assert not redis.has_command()


def test_many_channels_are_asked_for_in_batches(owner: Owner, redis: Redis) -> None:
    for number in range(1_200):
        owner.channels.want(f"channel{number}")

    owner.connect()

    assert [len(redis.command()) - 1 for _ in range(3)] == [500, 500, 200]


def test_a_channel_is_confirmed_by_the_answer_to_its_latest_subscription(owner: Owner, redis: Redis) -> None:
    owner.channels.want("a")
    owner.connect()
    owner.channels.forget("a")
    owner.channels.turn()
    owner.channels.want("a")
    owner.channels.turn()

    redis.acknowledge("a")
    assert owner.listen() == []
    assert not owner.channels.is_confirmed("a")

    redis.acknowledge("a")
    assert owner.listen() == ["a"]
    assert owner.channels.is_confirmed("a")


def test_a_wish_withdrawn_and_repeated_in_one_turn_changes_nothing(owner: Owner, redis: Redis) -> None:
    owner.channels.want("a")
    owner.connect()
    redis.command()
    redis.acknowledge("a")
    owner.listen()

    owner.channels.forget("a")
    owner.channels.want("a")
    owner.channels.turn()

    assert owner.channels.is_confirmed("a")
    assert not redis.has_command()


def test_messages_are_told_in_order_however_they_are_cut(owner: Owner, redis: Redis) -> None:
    owner.channels.want("a")
    owner.connect()
    redis.publish("a", "one")
    whole = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\ntwo\xff\r\n"
    redis.say(whole[:20])
    assert owner.listen() == [("a", "one")]

    redis.say(whole[20:])

    assert owner.listen() == [("a", "two\ufffd")]


def test_a_redis_that_says_nothing_is_asked_and_then_given_up(owner: Owner, redis: Redis) -> None:
    owner.channels.want("a")
    owner.connect()
    redis.command()

    owner.pass_time(SILENCE - 0.1)
    assert not redis.has_command()
    owner.pass_time(0.1)
    assert redis.command() == ["PING"]
    owner.pass_time(SILENCE - 0.1)
    assert owner.told == []
    owner.pass_time(0.1)

    assert owner.told == ["lost"]


@pytest.mark.parametrize("pong", [b"*2\r\n$4\r\npong\r\n$0\r\n\r\n", b"+PONG\r\n"])
def test_a_redis_that_answers_is_kept(pong: bytes, owner: Owner, redis: Redis) -> None:
    owner.channels.want("a")
    owner.connect()
    redis.command()

    for _ in range(5):
        owner.pass_time(SILENCE)
        assert redis.command() == ["PING"]
        redis.say(pong)
        assert owner.listen() == []


def test_a_lost_link_comes_back_with_all_that_is_wanted_then(owner: Owner, redis: Redis) -> None:
    for channel in "ab":
        owner.channels.want(channel)
    owner.connect()
    redis.command()
    redis.acknowledge("a", "b")
    owner.listen()
    epoch = owner.channels.epoch

    redis.ends[-1].close()
    assert owner.listen() == ["lost"]
    owner.channels.forget("a")
    owner.channels.want("c")
    owner.now = owner.channels.due or 0.0
    owner.connect()

    command, *names = redis.command()
    assert (command, sorted(names)) == ("SUBSCRIBE", ["b", "c"])
    assert owner.channels.epoch == epoch + 1
    redis.acknowledge("b")
    assert owner.listen() == ["b"]
    redis.acknowledge("c")
    assert owner.listen() == ["c", "restored"]


def test_pauses_between_attempts_grow_up_to_half_a_second(owner: Owner, redis: Redis) -> None:
    redis.is_up = False
    owner.channels.want("a")

    pauses = []
    for _ in range(8):
        owner.connect()
        assert owner.channels.is_away
        pauses.append(round((owner.channels.due or 0.0) - owner.now, 3))
        owner.now = owner.channels.due or 0.0

    assert pauses == [0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5]


def test_after_a_return_the_pauses_begin_anew(owner: Owner, redis: Redis) -> None:
    redis.is_up = False
    owner.channels.want("a")
    for _ in range(3):
        owner.connect()
        owner.now = owner.channels.due or 0.0
    redis.is_up = True
    owner.connect()
    redis.acknowledge("a")
    owner.listen()

    redis.ends[-1].close()
    owner.listen()

    assert owner.channels.due == pytest.approx(owner.now + 0.1)


def test_answers_that_a_lost_link_owed_are_not_waited_for(owner: Owner, redis: Redis) -> None:
    owner.channels.want("a")
    owner.connect()
    redis.ends[-1].close()
    owner.listen()
    owner.now = owner.channels.due or 0.0

    owner.connect()
    redis.acknowledge("a")

    assert owner.listen() == ["a", "restored"]


def test_an_outage_is_logged_once_and_its_end(owner: Owner, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    redis.is_up = False
    owner.channels.want("a")
    for _ in range(3):
        owner.connect()
        owner.now = owner.channels.due or 0.0

    redis.is_up = True
    owner.connect()
    redis.acknowledge("a")
    owner.listen()

    assert [record.getMessage() for record in caplog.records] == [
        "Live events pause until Redis is back: no Redis here",
        "Live events are back after 0.7 s; 1 tasks are watched.",
    ]


def test_a_link_lost_while_nothing_is_wanted_is_not_missed(
    owner: Owner, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    owner.channels.want("a")
    owner.connect()
    owner.channels.forget("a")
    owner.channels.turn()

    redis.ends[-1].close()
    owner.listen()

    assert owner.channels.due is None
    assert not owner.channels.is_away
    assert not caplog.records
    owner.channels.want("b")
    owner.connect()
    assert redis.command() == ["SUBSCRIBE", "b"]


def test_a_refusal_counts_as_lost(owner: Owner, redis: Redis) -> None:
    owner.channels.want("a")
    owner.connect()

    redis.say(b"-NOPERM no permissions to access this channel\r\n")

    assert owner.listen() == ["lost"]
    assert owner.channels.is_away
