"""The hub in a real gunicorn: watchers over TCP, a real server of Redis, and what may go wrong between them."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from minicelery import MiniCelery
from minicelery.embedded import HOST, EmbeddedServer, ServerOptions
from minicelery.errors import MiniCeleryError, RedisUnavailable
from minicelery.events import connected, describe
from minicelery.handover import Claim
from minicelery.record import TaskRecord
from minicelery.states import Status
from minicelery.web.hub import Hub, Stopping
from minicelery.web.watching import Arrival, Subscription
from tests.stack import Stack, wait_until
from tests.watcher import GONE, PATIENCE, Client, Proxy, TaskOnWire, Watch, few_threads, watched_channels

# ---- the story of a task ----------------------------------------------------------------------


def test_a_task_is_watched_from_submission_to_its_end(
    shared_stack: Stack, shared_celery: MiniCelery, watch: Watch
) -> None:
    task = TaskOnWire(shared_celery)
    client = watch(shared_stack, task.path)
    name, state = client.event()
    assert (name, state["task_id"], state["status"]) == ("connected", task.id, "PENDING")

    task.start()
    task.progress(4)
    task.settle(body='{"sum":3}')

    events = [client.event() for _ in range(3)]
    assert [name for name, _ in events] == ["started", "progress", "completed"]
    assert events[1][1]["current"] == 4
    assert events[2][1]["result"] == {"sum": 3}
    assert client.end() == 1000
    assert client.sock.recv(1) == b""


def test_a_failed_task_ends_with_failed_and_1000(shared_stack: Stack, shared_celery: MiniCelery, watch: Watch) -> None:
    task = TaskOnWire(shared_celery)
    client = watch(shared_stack, task.path)

    task.start()
    task.fail()

    assert client.names(3) == ["connected", "started", "failed"]
    assert client.end() == 1000


@pytest.mark.parametrize("is_running", [False, True], ids=["waiting", "running"])
def test_a_cancelled_task_ends_with_cancelled_and_1000(
    is_running: bool, shared_stack: Stack, shared_celery: MiniCelery, watch: Watch
) -> None:
    task = TaskOnWire(shared_celery)
    client = watch(shared_stack, task.path)
    if is_running:
        task.start()

    shared_celery.cancel([task.id])

    assert client.names(3 if is_running else 2)[-1] == "cancelled"
    assert client.end() == 1000


def test_an_expired_task_ends_with_expired_and_1000(
    shared_stack: Stack, shared_celery: MiniCelery, watch: Watch
) -> None:
    task = TaskOnWire(shared_celery)
    client = watch(shared_stack, task.path)

    task.expire()

    assert client.names(2) == ["connected", "expired"]
    assert client.end() == 1000


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "expired"])
def test_who_comes_late_gets_the_state_and_the_end(
    how: str, shared_stack: Stack, shared_celery: MiniCelery, watch: Watch
) -> None:
    task = TaskOnWire(shared_celery)
    if how == "expired":
        task.expire()
    else:
        task.start()
        {"completed": task.settle, "failed": task.fail, "cancelled": lambda: shared_celery.cancel([task.id])}[how]()

    client = watch(shared_stack, task.path)

    assert client.names(2) == ["connected", how]
    assert client.end() == 1000


def test_retries_are_seen_and_queueing_only_on_request(
    shared_stack: Stack, shared_celery: MiniCelery, watch: Watch
) -> None:
    task = TaskOnWire(shared_celery)
    usual, everything = watch(shared_stack, task.path), watch(shared_stack, f"{task.path}?events=all")

    task.start()
    task.settle(Status.RETRYING, '{"type":"E","message":"m","traceback":"t"}')
    shared_celery.broker.promote()

    assert usual.names(3) == ["connected", "started", "retrying"]
    assert everything.names(4) == ["connected", "started", "retrying", "queued"]
    task.delivery = shared_celery.broker.claim(Claim(task.id, 0, 2, "nonce", (task.id,))).deliveries[0]
    assert usual.names(1) == everything.names(1) == ["started"]


def test_no_such_task_is_4404(shared_stack: Stack, watch: Watch) -> None:
    for task_id in ("nobody-has-this-id", "not%20a%20name", "x" * 500):
        client = watch(shared_stack, f"/ws/tasks/{task_id}")
        assert client.status == 101
        assert client.end() == 4404


def test_a_deleted_task_is_4404(shared_stack: Stack, shared_celery: MiniCelery, watch: Watch) -> None:
    task = TaskOnWire(shared_celery)
    client = watch(shared_stack, task.path)

    shared_celery.broker.forget(task.id, [Status.PENDING], "request")

    assert client.names(2) == ["connected", "deleted"]
    assert client.end() == 4404


def test_a_large_result_arrives_whole(shared_stack: Stack, shared_celery: MiniCelery, watch: Watch) -> None:
    task = TaskOnWire(shared_celery, size=1_000_000)
    early = watch(shared_stack, task.path)
    task.start()
    task.settle(body=json.dumps("ü" * 500_000, ensure_ascii=False))
    late = watch(shared_stack, task.path)

    for client, count in ((early, 3), (late, 2)):
        events = [client.event() for _ in range(count)]
        assert events[0][1]["args"] == ["x" * 1_000_000]
        assert events[-1][1]["result"] == "ü" * 500_000
        assert client.end() == 1000


def test_texts_that_are_no_events_of_ours_are_not_passed_on(
    shared_stack: Stack, shared_celery: MiniCelery, watch: Watch
) -> None:
    task = TaskOnWire(shared_celery)
    client = watch(shared_stack, task.path)

    for text in ("", "hello", "\xff", '{"event":"nonsense","data":{}}'):
        shared_celery.clients.commands.publish(shared_celery.keys.events(task.id), text)
    task.start()

    assert client.names(2) == ["connected", "started"]


# ---- peers who misbehave ----------------------------------------------------------------------


def test_a_slow_reader_is_cut_off_and_the_others_get_everything(
    shared_stack: Stack, shared_celery: MiniCelery, watch: Watch
) -> None:
    task = TaskOnWire(shared_celery)
    slow = watch(shared_stack, task.path, receive_buffer=4_096)
    good = watch(shared_stack, task.path)
    assert good.names(1) == ["connected"]
    task.start()
    assert good.names(1) == ["started"]

    for number in range(200):  # more than the kernel's buffers and ours can hold
        task.progress(number, "x" * 50_000)
        assert good.event()[1]["current"] == number
    task.settle()

    assert good.names(1) == ["completed"]
    assert good.end() == 1000
    assert slow.end() in (1013, GONE)


def test_a_peer_who_pushes_a_lot_is_closed_and_nothing_of_it_kept(
    shared_stack: Stack, shared_celery: MiniCelery, watch: Watch
) -> None:
    task = TaskOnWire(shared_celery)
    pushing, other = watch(shared_stack, task.path), watch(shared_stack, task.path)
    before = memory_bytes(shared_stack)

    frame = pushing.protocol.send(BytesMessage(b"x" * 1_000_000, message_finished=False))
    with contextlib.suppress(ConnectionError):
        for _ in range(300):
            pushing.sock.sendall(frame)

    assert memory_bytes(shared_stack) - before < 20_000_000
    assert pushing.end() in (1009, GONE)
    task.start()
    assert other.names(2) == ["connected", "started"]


def memory_bytes(stack: Stack) -> int:
    return sum(child.memory_info().rss for child in web_workers(stack))


def web_workers(stack: Stack) -> list[psutil.Process]:
    assert stack.web_process
    return psutil.Process(stack.web_process.pid).children()


def test_a_small_message_too_many_is_1008(shared_stack: Stack, shared_celery: MiniCelery, watch: Watch) -> None:
    client = watch(shared_stack, TaskOnWire(shared_celery).path)

    client.say(*[TextMessage("hello") for _ in range(100)])

    assert client.names(1) == ["connected"]
    assert client.end() == 1008


def test_who_leaves_is_forgotten(shared_stack: Stack, shared_celery: MiniCelery, watch: Watch) -> None:
    task = TaskOnWire(shared_celery)
    polite, rude = watch(shared_stack, task.path), watch(shared_stack, task.path)
    assert watched_channels(shared_celery, task) == 1

    rude.close()
    polite.say(CloseConnection(1000, "bye"))

    assert polite.end() == 1000
    wait_until(lambda: watched_channels(shared_celery, task) == 0, what="the end of the subscription")


# ---- many -------------------------------------------------------------------------------------


def test_three_hundred_sockets_on_four_threads_leave_http_answering(
    shared_stack: Stack, shared_celery: MiniCelery, watch: Watch
) -> None:
    tasks = [TaskOnWire(shared_celery) for _ in range(10)]
    clients = [(task, watch(shared_stack, task.path)) for task in tasks for _ in range(30)]

    assert all(client.names(1) == ["connected"] for _, client in clients)
    began = time.monotonic()
    assert shared_stack.get("/healthz").status == 200
    assert time.monotonic() - began < 1.0
    [worker] = web_workers(shared_stack)
    assert worker.num_threads() < 10
    for task in tasks:
        task.start()
        task.settle()
    assert all(client.names(2) == ["started", "completed"] for _, client in clients)
    assert all(client.end() == 1000 for _, client in clients)


# ---- the end of the process -------------------------------------------------------------------


def test_term_closes_all_sockets_with_1001_and_the_process_exits(watch: Watch) -> None:
    with Stack(worker=False, environ=few_threads()) as stack:
        celery = MiniCelery("test", redis_url=stack.redis_url)
        clients = [watch(stack, TaskOnWire(celery).path) for _ in range(20)]
        assert all(client.names(1) == ["connected"] for client in clients)
        assert stack.web_process
        kept_alive = HTTPConnection(HOST, stack.port)
        kept_alive.request("GET", "/healthz")
        kept_alive.getresponse().read()

        stack.web_process.terminate()
        began = time.monotonic()
        codes = [client.end() for client in clients]
        stack.web_process.wait(PATIENCE)

        assert codes == [1001] * 20
        assert stack.web_process.returncode == 0
        assert time.monotonic() - began < 3.0
        kept_alive.close()
        celery.clients.close()


def test_term_does_not_wait_for_peers_who_do_not_answer(watch: Watch) -> None:
    with Stack(worker=False, environ=few_threads()) as stack:
        celery = MiniCelery("test", redis_url=stack.redis_url)
        client = watch(stack, TaskOnWire(celery).path)
        assert client.names(1) == ["connected"]
        assert stack.web_process

        stack.web_process.terminate()
        began = time.monotonic()
        stack.web_process.wait(PATIENCE)

        assert time.monotonic() - began < 3.0
        assert client.end() == 1001
        celery.clients.close()


# ---- Redis away -------------------------------------------------------------------------------


def test_a_watcher_outlives_a_crash_of_redis(watch: Watch, tmp_path: Path) -> None:
    stack = Stack(worker=False, environ=few_threads())
    stack.server = EmbeddedServer(ServerOptions(data=tmp_path / "data"))
    with stack:
        celery = MiniCelery("test", redis_url=stack.redis_url)
        task = TaskOnWire(celery)
        client = watch(stack, task.path)
        assert client.names(1) == ["connected"]

        stack.server.kill()
        client.say(Ping(b"still there"))
        assert client.next().payload == b"still there"  # type: ignore[attr-defined]
        stack.server.start()

        assert client.event()[0] == "connected"  # the present state again, as something may have been missed
        task.start()
        task.settle()
        assert client.names(2) == ["started", "completed"]
        assert client.end() == 1000
        assert stack.log("web").count("Live events pause") == 1
        assert stack.log("web").count("Live events are back") == 1
        celery.clients.close()


@pytest.fixture
def cuttable(server: EmbeddedServer) -> Iterator[tuple[Stack, Proxy]]:
    proxy = Proxy(server.port)
    environ = few_threads(MINICELERY_REDIS_URL=proxy.url, MINICELERY_REDIS_TIMEOUT="1")
    with Stack(worker=False, environ=environ) as stack:
        yield stack, proxy
    proxy.cut()


def test_what_happens_while_the_link_is_down_is_told_afterwards(
    cuttable: tuple[Stack, Proxy], real_app: MiniCelery, server: EmbeddedServer, watch: Watch
) -> None:
    stack, proxy = cuttable
    celery = MiniCelery("test", redis_url=server.url)
    tasks = {name: TaskOnWire(celery) for name in ("waiting", "running", "completed", "failed", "deleted")}
    clients = {name: watch(stack, task.path) for name, task in tasks.items()}
    assert all(client.names(1) == ["connected"] for client in clients.values())

    proxy.cut()
    for name in ("running", "completed", "failed"):
        tasks[name].start()
    tasks["completed"].settle()
    tasks["failed"].fail()
    celery.broker.forget(tasks["deleted"].id, [Status.PENDING], "request")
    proxy.mend()

    assert clients["completed"].names(2) == ["connected", "completed"]
    assert clients["completed"].end() == 1000
    assert clients["failed"].names(2) == ["connected", "failed"]
    assert clients["failed"].end() == 1000
    assert clients["deleted"].names(1) == ["deleted"]
    assert clients["deleted"].end() == 4404
    assert clients["running"].event()[1]["status"] == "RUNNING"
    assert clients["waiting"].event()[1]["status"] == "PENDING"
    tasks["running"].settle()
    assert clients["running"].names(1) == ["completed"]
    celery.clients.close()


def test_while_redis_is_away_a_new_watcher_is_sent_away_with_503(
    cuttable: tuple[Stack, Proxy], server: EmbeddedServer, watch: Watch
) -> None:
    stack, proxy = cuttable
    celery = MiniCelery("test", redis_url=server.url)
    task = TaskOnWire(celery)

    proxy.cut()
    began = time.monotonic()
    client = watch(stack, task.path)

    assert client.status == 503
    assert "retry-after: " in client.head.lower()
    assert time.monotonic() - began < 3.0

    proxy.mend()
    wait_until(lambda: watch(stack, task.path).status == 101, what="a watcher's admission")
    celery.clients.close()


# ---- the hub itself ---------------------------------------------------------------------------


@pytest.fixture
def hub(real_app: MiniCelery) -> Iterator[Hub]:
    hub = Hub(real_app.inspector, real_app.clients, real_app.keys)
    yield hub
    hub.close_all()


def test_a_hub_that_was_never_used_has_nothing_to_close(hub: Hub) -> None:
    hub.close_all()

    with pytest.raises(Stopping):
        hub.watch("x")


def arrive(hub: Hub, subscription: Subscription, record: TaskRecord) -> Client:
    """Hand a socket over as the route does, with what it has read of the task."""
    ours, theirs = socket.socketpair()
    hub.attach(subscription, Arrival(ours, b"", connected(record, describe(record)), record.updated_at))
    return Client.of(theirs)


def test_what_happens_between_subscribing_and_arriving_is_not_missed(hub: Hub, real_app: MiniCelery) -> None:
    task = TaskOnWire(real_app)
    subscription = hub.watch(task.id)
    task.start()
    record = real_app.inspector.task(task.id)
    task.progress(1)
    task.settle()

    with contextlib.closing(arrive(hub, subscription, record)) as client:
        assert [client.event()[0] for _ in range(4)] == ["connected", "started", "progress", "completed"]
        assert client.end() == 1000


def test_what_is_older_than_the_state_is_not_told_again(hub: Hub, real_app: MiniCelery) -> None:
    task = TaskOnWire(real_app)
    subscription = hub.watch(task.id)
    task.start()
    task.fail()
    wait_until(lambda: len(subscription.heard) == 2, what="the events")
    time.sleep(0.002)  # times have three decimals
    real_app.revive(task.id)

    with contextlib.closing(arrive(hub, subscription, real_app.inspector.task(task.id))) as client:
        name, state = client.event()
        assert (name, state["status"]) == ("connected", "PENDING")
        real_app.broker.forget(task.id, [Status.PENDING], "request")
        assert client.names(1) == ["deleted"]


def test_a_link_lost_between_subscribing_and_arriving_is_made_up_for(
    real_app: MiniCelery, server: EmbeddedServer
) -> None:
    proxy = Proxy(server.port)
    celery = MiniCelery("test", redis_url=proxy.url, namespace=real_app.config.namespace, redis_timeout=1)
    hub = Hub(celery.inspector, celery.clients, celery.keys)
    task, other = TaskOnWire(real_app), TaskOnWire(real_app)
    subscription, record = hub.watch(task.id), real_app.inspector.task(task.id)

    proxy.cut()
    task.start()
    task.settle()
    proxy.mend()
    wait_until(lambda: is_watched(hub, other), what="the link's return")

    with contextlib.closing(arrive(hub, subscription, record)) as client:
        assert client.event()[1]["status"] == "PENDING"
        assert client.event()[1]["status"] == "SUCCESS"
        assert client.names(1) == ["completed"]
        assert client.end() == 1000
    hub.close_all()
    celery.clients.close()
    proxy.cut()


def is_watched(hub: Hub, task: TaskOnWire) -> bool:
    try:
        hub.abandon(hub.watch(task.id))
    except RedisUnavailable:
        return False
    return True


def test_an_error_in_the_loop_is_logged_and_the_others_are_served_on(
    hub: Hub, real_app: MiniCelery, caplog: pytest.LogCaptureFixture
) -> None:
    task = TaskOnWire(real_app)
    bad = arrive(hub, hub.watch(task.id), real_app.inspector.task(task.id))
    assert bad.names(1) == ["connected"]
    assert hub._loop
    [viewer] = hub._loop._viewers._all
    viewer.socket._waiting = "nonsense"  # type: ignore[assignment]
    good = arrive(hub, hub.watch(task.id), real_app.inspector.task(task.id))
    gone = socket.socket()
    gone.close()

    hub.attach(hub.watch(task.id), Arrival(gone))
    task.start()

    assert good.names(2) == ["connected", "started"]
    assert bad.end() == GONE
    assert sum(record.exc_info is not None for record in caplog.records) == 2
    assert hub.size == 1
    for client in (good, bad):
        client.close()


def test_thousands_of_subscriptions_are_confirmed(hub: Hub) -> None:
    began = time.monotonic()
    subscriptions = []
    for number in range(3_000):
        subscriptions.append(hub.watch(f"task{number}"))
    assert time.monotonic() - began < PATIENCE

    for subscription in subscriptions:
        hub.abandon(subscription)


@pytest.fixture
def mute_hub() -> Iterator[Hub]:
    """Its Redis takes connections and never says a word."""
    with socket.create_server((HOST, 0)) as mute:
        url = f"redis://{HOST}:{mute.getsockname()[1]}/0"
        celery = MiniCelery("test", redis_url=url, redis_timeout=1)
        hub = Hub(celery.inspector, celery.clients, celery.keys)
        yield hub
        hub.close_all()


class Request(threading.Thread):
    """A request thread that subscribes, and how it fares."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.hub = hub
        self.error: MiniCeleryError | None = None
        self.start()

    def run(self) -> None:
        try:
            self.hub.watch("x")
        except MiniCeleryError as error:
            self.error = error


def test_requests_that_wait_are_told_when_the_process_stops(mute_hub: Hub) -> None:
    waiting = Request(mute_hub)
    wait_until(lambda: mute_hub._loop and mute_hub._loop._topics, what="the request")

    began = time.monotonic()
    mute_hub.close_all()
    waiting.join(PATIENCE)

    assert isinstance(waiting.error, Stopping)
    assert time.monotonic() - began < 2.0


def test_while_redis_is_known_to_be_away_requests_do_not_wait(mute_hub: Hub) -> None:
    with pytest.raises(RedisUnavailable):
        mute_hub.watch("x")
    assert mute_hub._loop
    time.sleep(0.1)  # the pause until the next attempt, which the next request brings about
    trying = Request(mute_hub)
    wait_until(lambda: mute_hub._loop and mute_hub._loop._channels._is_connecting, what="the next attempt")

    began = time.monotonic()
    with pytest.raises(RedisUnavailable):
        mute_hub.watch("y")

    assert time.monotonic() - began < 0.5
    trying.join(PATIENCE)
    assert isinstance(trying.error, RedisUnavailable)


def test_a_redis_that_refuses_the_channels_is_said_so(real_app: MiniCelery, server: EmbeddedServer) -> None:
    name = f"narrow{os.getpid()}"
    admin = real_app.clients.commands
    admin.execute_command("ACL", "SETUSER", name, "on", ">secret", "+@all", "allkeys", "resetchannels")
    url = server.url.replace("redis://", f"redis://{name}:secret@")
    celery = MiniCelery("narrow", redis_url=url)
    hub = Hub(celery.inspector, celery.clients, celery.keys)

    with pytest.raises(RedisUnavailable, match="refuses"):
        hub.watch("x")

    hub.close_all()
    celery.clients.close()
    admin.execute_command("ACL", "DELUSER", name)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_a_hub_of_its_own(hub: Hub) -> None:
    hub.abandon(hub.watch("before"))

    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            assert hub.size == 0
            hub.abandon(hub.watch("in the child"))
            hub.close_all()
            code = 0
        os._exit(code)

    assert os.waitpid(child, 0)[1] == 0
    hub.abandon(hub.watch("after"))
