"""What the API answers while Redis is away or full."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from minicelery import MiniCelery
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.doorbell import Doorbell
from minicelery.embedded import EmbeddedServer, ServerOptions, free_port
from minicelery.errors import RedisFull, RedisUnavailable
from minicelery.firing import Clockwork
from minicelery.letters import Selection
from minicelery.schedule import task_id_of
from minicelery.states import Status
from minicelery.testing import drain
from minicelery.web import create_app
from minicelery.world import World
from tests.api.conftest import declare
from tests.store.conftest import Desk


def _app(url: str) -> MiniCelery:
    config = Config(redis_url=url, patience=0.2, redis_timeout=0.5)
    app = MiniCelery("away", config=config, clients=connect(config))
    declare(app)
    return app


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/tasks"),
        ("GET", "/tasks/x"),
        ("GET", "/queue/stats"),
        ("GET", "/queue/dead-letter"),
        ("POST", "/queue/dead-letter/retry"),
        ("POST", "/queue/dead-letter/x/retry"),
        ("DELETE", "/queue/dead-letter/x"),
        ("GET", "/locks"),
        ("GET", "/locks/x"),
        ("DELETE", "/locks/x"),
        ("GET", "/schedules"),
        ("POST", "/schedules/x/run"),
        ("DELETE", "/schedules/x"),
        ("GET", "/readyz"),
    ],
)
def test_without_redis_every_route_says_503_and_when_to_try_again(method: str, path: str) -> None:
    http = create_app(_app(f"redis://127.0.0.1:{free_port()}")).test_client()

    response = http.open(path, method=method, json={"name": "add", "args": [1, 2]} if path == "/tasks" else None)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert response.content_type == "application/problem+json"
    assert "127.0.0.1" not in response.text


def test_without_redis_the_process_is_alive_all_the_same() -> None:
    assert create_app(_app(f"redis://127.0.0.1:{free_port()}")).test_client().get("/healthz").status_code == 200


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(ServerOptions()) as server:
        yield server


def test_a_full_redis_refuses_submissions_and_still_lets_running_work_end(own_server: EmbeddedServer) -> None:
    app = _app(own_server.url)
    http = create_app(app).test_client()
    place = http.post("/tasks", json={"name": "add", "args": [1, 2]}).headers["Location"]
    desk = Desk(app)
    desk.hire("w")
    delivery = desk.take()
    app.clients.commands.config_set("maxmemory", "1mb")

    refused = http.post("/tasks", json={"name": "add", "args": [1, 2]})
    desk.hire("w")
    assert desk.settle(delivery)

    assert (refused.status_code, json.loads(refused.data)["title"]) == (503, "Service Unavailable")
    assert "Nothing was changed" in refused.json["detail"]
    assert http.get(place).json["status"] == "SUCCESS"
    assert len(list(app.inspector.task_ids())) == 1
    app.clients.close()


def test_a_submission_without_an_answer_tells_the_id_under_which_to_repeat_it() -> None:
    http = create_app(_app(f"redis://127.0.0.1:{free_port()}")).test_client()

    response = http.post("/tasks", json={"name": "add", "args": [1, 2], "task_id": "mine"})

    assert (response.status_code, response.json["task_id"]) == (503, "mine")
    assert "under this task_id" in response.json["detail"]


def test_a_wrong_database_is_an_outage_and_no_error_of_ours(own_server: EmbeddedServer) -> None:
    app = _app(own_server.url.removesuffix("/0") + "/99")

    with pytest.raises(RedisUnavailable, match="no such database"):
        app.submit(app.message("add", [1, 2]))
    assert create_app(app).test_client().get("/readyz").status_code == 503
    app.clients.close()


def test_requests_do_not_queue_up_behind_an_outage() -> None:
    tried: list[float] = []
    config = Config(redis_url=f"redis://127.0.0.1:{free_port()}", patience=30)
    clock = [0.0]

    def sleep(seconds: float) -> None:
        tried.append(seconds)
        clock[0] += seconds

    app = MiniCelery("away", config=config, world=replace(World(), monotonic=lambda: clock[0], sleep=sleep))
    declare(app)
    http = create_app(app).test_client()

    first = http.post("/tasks", json={"name": "add", "args": [1, 2]})
    repeats = len(tried)
    others = [http.post("/tasks", json={"name": "add", "args": [1, 2]}) for _ in range(10)]

    assert {first.status_code, *(other.status_code for other in others)} == {503}
    assert repeats > 5
    assert len(tried) == repeats
    assert http.get("/healthz").status_code == 200


def test_who_learns_nothing_of_redis_does_not_end_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    config = Config(redis_url=f"redis://127.0.0.1:{free_port()}", patience=0)
    app = MiniCelery("away", config=config, world=replace(World(), monotonic=lambda: clock[0]))
    declare(app)
    http = create_app(app).test_client()
    good = {"name": "add", "args": [1, 2]}
    sent: list[object] = []

    def send(message: object) -> None:
        sent.append(message)
        if len(sent) == 1:
            http.post("/tasks", json=good)
        raise RedisUnavailable("still away")

    http.post("/tasks", json=good)
    clock[0] = 2.0
    assert http.post("/tasks", json={"name": "nobody"}).status_code == 422
    monkeypatch.setattr(app.sender, "send", send)
    assert http.post("/tasks", json=good).status_code == 503

    assert len(sent) == 1  # the second was refused while the first was trying


def test_a_request_that_would_like_another_protocol_waits_no_more_than_others() -> None:
    http = create_app(_app(f"redis://127.0.0.1:{free_port()}")).test_client()
    submission = {"name": "add", "args": [1, 2]}

    tried, refused = (http.post("/tasks", json=submission, headers={"Upgrade": "h2c"}).json for _ in range(2))

    assert tried
    assert refused
    assert ("task_id" in tried, "task_id" in refused) == (True, False)
    assert http.get("/ws/tasks/x").status_code == 426


def test_a_full_redis_still_hands_out_and_takes_back_what_it_has(own_server: EmbeddedServer) -> None:
    app = _app(own_server.url)
    desk = Desk(app)
    desk.submit("claimed", "retried", "released", "recovered")
    desk.hire("w")
    app.clients.commands.config_set("maxmemory", "1mb")

    claimed = [desk.take() for _ in range(4)]
    desk.settle(claimed[0])
    desk.settle(claimed[1], Status.RETRYING, "{}")
    desk.broker.release("w", [(claimed[2].id, claimed[2].token)])
    desk.broker.recover("w")

    assert [app.inspector.task(one.id).status for one in claimed] == ["SUCCESS", "RETRYING", "PENDING", "PENDING"]
    app.clients.close()


def test_a_user_without_the_right_is_told_so_as_an_outage(own_server: EmbeddedServer) -> None:
    with redis.Redis.from_url(own_server.url) as admin:
        admin.execute_command(
            "ACL", "SETUSER", "few", "on", ">secret", "~*", "&*", "+@all", "-evalsha", "-eval", "-brpop"
        )
    app = _app(own_server.url.replace("://", "://few:secret@"))

    with pytest.raises(RedisUnavailable, match="permissions"):
        app.submit(app.message("add", [1, 2]))
    with pytest.raises(RedisUnavailable, match="permissions"):
        Doorbell(app.clients.blocking, app.keys).wait("w", ["default"], ("PING",), 0.1)
    app.clients.close()


def test_progress_does_not_hold_a_task_up_while_redis_is_away(caplog: pytest.LogCaptureFixture) -> None:
    slept: list[float] = []
    config = Config(redis_url=f"redis://127.0.0.1:{free_port()}", patience=60)
    app = MiniCelery("away", config=config, world=replace(World(), sleep=slept.append))

    assert app._reporter.report("t", "1.n", '"done":1')
    assert slept == []
    assert "progress is left out until Redis is back, of task t" in caplog.text


def test_many_may_wait_for_results_at_once(own_server: EmbeddedServer) -> None:
    app = MiniCelery("many", redis_url=own_server.url, pool_size=2)
    declare(app)
    results = app.submit_many(app.tasks.find("add").s(number, 1) for number in range(10))
    got: list[float] = []
    threads = [threading.Thread(target=lambda r=result: got.append(r.get(timeout=20))) for result in results]
    for thread in threads:
        thread.start()

    drain(app)
    for thread in threads:
        thread.join()

    assert sorted(got) == list(range(1, 11))
    app.clients.close()


def test_a_full_redis_keeps_schedules_waiting_and_has_them_fired_when_there_is_room(
    own_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    app = _app(own_server.url)
    app.schedules.add("s", {"name": "add", "args": [1, 2]}, every=60)
    slot = int(app.agenda.now()) // 60 * 60
    app.clients.commands.zadd(app.keys.schedules, {"s": slot})
    clockwork = Clockwork(app.timetable, app.agenda, app.world)
    app.periodic(every=60, args=[1, 2])(app.tasks.find("add"))
    clockwork.declared = [*app.periodics]
    app.clients.commands.config_set("maxmemory", "1mb")

    assert 0 < (clockwork.fire() or 0) <= 1
    clockwork.declare()
    assert [(one.schedule.name, one.next) for one in app.schedules.list()] == [("s", slot)]
    assert "schedules wait" in caplog.text

    app.clients.commands.config_set("maxmemory", 0)
    clockwork.fire()
    clockwork.declare()
    assert app.inspector.task(task_id_of("s", slot)).status is Status.PENDING
    assert [one.schedule.name for one in app.schedules.list()] == ["add", "s"]
    app.clients.close()


def test_a_schedule_can_be_paused_and_deleted_in_a_full_redis(own_server: EmbeddedServer) -> None:
    app = _app(own_server.url)
    app.schedules.add("s", {"name": "add", "args": [1, 2]}, every=60)
    app.clients.commands.config_set("maxmemory", "1mb")

    assert app.schedules.pause("s").paused
    app.schedules.delete("s")
    with pytest.raises(RedisFull):
        app.schedules.add("s", {"name": "add", "args": [1, 2]}, every=60)

    assert app.schedules.list() == []


def test_a_full_redis_lets_tasks_be_cancelled_and_expire(own_server: EmbeddedServer) -> None:
    app = _app(own_server.url)
    desk = Desk(app)
    desk.hire("w")
    desk.submit("running", "ready", "delayed", "late", "passed", expires=60)
    for task in ("late", "passed"):
        desk.let_expire(task)
    delivery = desk.take()
    app.clients.commands.zrem(app.keys.expiring, "passed")
    app.clients.commands.config_set("maxmemory", "1mb")

    assert desk.broker.cancel(["running", "ready"]) == [Status.CANCELLED] * 2
    assert desk.settle(delivery) is None
    assert desk.broker.expire()[0] == 1
    assert desk.claim(count=9).passed == 1

    assert [desk.where(task)[0] for task in ("running", "late", "passed")] == ["CANCELLED", "EXPIRED", "EXPIRED"]
    app.clients.close()


def test_a_full_redis_lets_dead_letters_be_retried_and_deleted(own_server: EmbeddedServer) -> None:
    app = _app(own_server.url)
    desk = Desk(app)
    desk.hire("w")
    desk.submit("a", "b", "c", "done")
    for _ in range(3):
        desk.fail(desk.take())
    desk.settle(desk.take())
    app.clients.commands.config_set("maxmemory", "1mb")

    assert app.bulk.delete(["done"]).done == 1
    assert next(app.bulk.steps("retry", app.bulk.walk(Selection()), look=1)).done == 1
    assert app.bulk.delete_dead() == 2

    assert [desk.where(task)[0] for task in "abc"] == ["PENDING", "", ""]
    app.clients.close()
