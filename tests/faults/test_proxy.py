"""The fault proxy does what it is asked, so that tests may rely on it."""

import time
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from minicelery.embedded import EmbeddedServer
from tests.faults.proxy import FaultProxy
from tests.faults.wire import Requests
from tests.stack import wait_until


@pytest.fixture
def proxy(server: EmbeddedServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port, seed=1) as running:
        yield running


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[redis.Redis]:
    pool = redis.ConnectionPool.from_url(
        proxy.url, protocol=2, socket_timeout=0.3, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
    )
    with redis.Redis(connection_pool=pool) as made:
        made.ping()
        yield made
    pool.disconnect()


@pytest.fixture
def direct(server: EmbeddedServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url, protocol=2) as made:
        yield made


def test_requests_are_cut_out_of_any_pieces() -> None:
    commands = [b"*2\r\n$4\r\nECHO\r\n$4\r\n\r\n*1\r\n", b"PING\r\n", b"*1\r\n$4\r\nPING\r\n"]
    whole = b"".join(commands)

    for size in range(1, len(whole) + 1):
        requests = Requests()
        found = [one for at in range(0, len(whole), size) for one in requests.feed(whole[at : at + size])]
        assert found == commands


def test_everything_passes_by_itself(proxy: FaultProxy, client: redis.Redis, namespace: str) -> None:
    large = b"x" * 1_000_000

    client.set(namespace, large, ex=60)

    assert client.get(namespace) == large
    assert (proxy.counts.replies_lost, proxy.counts.cuts, proxy.counts.connections) == (0, 0, 1)


def test_a_lost_reply_is_of_a_request_that_was_done(
    proxy: FaultProxy, client: redis.Redis, direct: redis.Redis, namespace: str
) -> None:
    proxy.lose_next(only=b"INCR")

    client.ping()
    with pytest.raises(redis.ConnectionError):
        client.incr(namespace)

    assert direct.get(namespace) == b"1"
    assert (proxy.counts.replies_lost, proxy.counts.cuts) == (1, 1)
    assert client.incr(namespace) == 2


def test_a_reply_can_be_lost_in_silence(proxy: FaultProxy, client: redis.Redis, namespace: str) -> None:
    proxy.set(silent=True)
    proxy.lose_next()

    with pytest.raises(redis.TimeoutError):
        client.incr(namespace)

    assert client.incr(namespace) == 2


def test_as_many_replies_are_lost_as_the_probability_says(
    proxy: FaultProxy, client: redis.Redis, direct: redis.Redis, namespace: str
) -> None:
    proxy.set(drop_replies=0.2, only=b"INCR")
    lost = 0

    for _ in range(300):
        try:
            client.incr(namespace)
        except redis.ConnectionError:
            lost += 1

    assert direct.get(namespace) == b"300"
    assert lost == proxy.counts.replies_lost
    assert 30 < lost < 90


def test_a_reply_ends_in_the_middle(proxy: FaultProxy, client: redis.Redis, namespace: str) -> None:
    client.set(namespace, "some value", ex=60)
    proxy.cut_after(7)

    with pytest.raises(redis.ConnectionError):
        client.get(namespace)

    assert client.get(namespace) == b"some value"


def test_pieces_of_a_byte_make_whole_replies(proxy: FaultProxy, client: redis.Redis, namespace: str) -> None:
    proxy.set(slice=1)

    client.set(namespace, "some value", ex=60)

    assert client.get(namespace) == b"some value"


def test_a_delay_is_each_way(proxy: FaultProxy, client: redis.Redis) -> None:
    proxy.set(delay=0.05, jitter=0.01)
    start = time.monotonic()

    client.ping()

    assert time.monotonic() - start >= 0.1


@pytest.mark.parametrize("kind", ["black_hole", "one_way"])
def test_nothing_comes_back_until_it_is_healed(
    proxy: FaultProxy, client: redis.Redis, direct: redis.Redis, namespace: str, kind: str
) -> None:
    proxy.set(**{kind: True})

    with pytest.raises(redis.TimeoutError):
        client.incr(namespace)
    before = direct.get(namespace)
    proxy.heal()

    assert before == {"black_hole": None, "one_way": b"1"}[kind]
    wait_until(lambda: direct.get(namespace) == b"1", what="the request that was held")
    assert client.incr(namespace) == 2


def test_refused_connections_come_back_after_healing(proxy: FaultProxy, client: redis.Redis) -> None:
    proxy.refuse()
    assert client.ping(), "the connections of before go on"
    proxy.cut_all()
    client.connection_pool.disconnect()

    with pytest.raises(redis.ConnectionError, match="refused"):
        client.ping()
    proxy.heal()

    assert client.ping()


def test_requests_are_answered_without_the_server(proxy: FaultProxy, client: redis.Redis, direct: redis.Redis) -> None:
    proxy.answer_with(b"-LOADING Redis is loading the dataset in memory\r\n")

    with pytest.raises(redis.exceptions.BusyLoadingError):
        client.set("never", "set")
    proxy.heal()

    assert client.ping()
    assert direct.get("never") is None


def test_the_proxy_leads_to_another_server(proxy: FaultProxy, client: redis.Redis) -> None:
    with EmbeddedServer() as other:
        proxy.retarget(other.port)
        client.connection_pool.disconnect()

        assert proxy.counts.cuts == 1
        assert client.info("server")["tcp_port"] == other.port


def test_connections_to_a_server_that_is_away_are_reset() -> None:
    with EmbeddedServer() as server, FaultProxy(server.port) as proxy:
        client = redis.Redis(port=proxy.port, protocol=2, retry=Retry(NoBackoff(), 0))
        assert client.ping()
        server.kill()

        for _ in range(2):
            with pytest.raises(redis.ConnectionError):
                client.ping()
        server.start()

        assert client.ping()
        client.close()
