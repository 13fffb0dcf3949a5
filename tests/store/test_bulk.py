"""Retries and deletes by the thousand: which are meant, what others do meanwhile, and what a repeat does."""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from minicelery import MiniCelery, bulk
from minicelery.bulk import Verb
from minicelery.errors import ForeignData
from minicelery.letters import Selection, Walk, walk_from
from minicelery.states import Status
from tests.conftest import make_app
from tests.store.conftest import Desk

VERBS: list[Verb] = ["retry", "delete"]


def bury(desk: Desk, *ids: str, error: str = "ValueError", age: float = 0, **more: str) -> None:
    """Tasks that have failed for good, one after the other."""
    desk.hire("w")
    desk.submit(*ids, **more)
    for _ in ids:
        [delivery] = desk.claim(queues=(more.get("queue", "default"),)).deliveries
        desk.settle(delivery, Status.FAILED, f'{{"type":"{error}","message":"m","traceback":"t"}}')
        if age:
            failed = desk.app.inspector.now() - age
            desk.app.clients.commands.hset(desk.app.keys.task(delivery.id), "updated_at", f"{failed:.3f}")


def dead(desk: Desk) -> list[str]:
    """The ids of all dead letters, oldest first."""
    return desk.app.inspector.dead_letter_ids(0, 10_000)[::-1]


def states(desk: Desk, *ids: str) -> list[str]:
    return [desk.where(task)[0] for task in ids]


def walk_all(desk: Desk, verb: Verb, walk: Walk, look: int) -> int:
    return sum(step.done for step in desk.app.bulk.steps(verb, walk, look))


# ---- which are meant ----------------------------------------------------------------------------


def test_all_dead_letters_are_retried_part_by_part_oldest_first(desk: Desk) -> None:
    ids = [f"t{number}" for number in range(10)]
    bury(desk, *ids)

    steps = list(desk.app.bulk.steps("retry", desk.app.bulk.walk(Selection()), look=4))

    assert [(step.done, step.looked, step.walk.left) for step in steps] == [(4, 4, 6), (4, 4, 2), (2, 2, 0)]
    assert [one.id for one in desk.claim(count=10).deliveries] == ids
    assert dead(desk) == []
    desk.lawful()


@pytest.mark.parametrize(
    ("selected", "meant"),
    [
        ({}, "abcdef"),
        ({"name": "add"}, "abcdf"),
        ({"queue": "mail"}, "c"),
        ({"error": "ValueError"}, "acef"),
        ({"error": "smtplib.SMTPError"}, "b"),
        ({"error": "SMTPError"}, "b"),
        ({"error": "Error"}, ""),
        ({"error": "Größe"}, "d"),
        ({"older_than": 50}, "abc"),
        ({"newer_than": 150}, "bcdef"),
        ({"older_than": 50, "newer_than": 150}, "bc"),
        ({"name": "add", "error": "ValueError", "older_than": 50}, "ac"),
        ({"name": "none"}, ""),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
def test_those_that_are_alike_are_meant_and_no_others(
    desk: Desk, verb: Verb, selected: dict[str, object], meant: str
) -> None:
    bury(desk, "a", age=200)
    bury(desk, "b", age=100, error="smtplib.SMTPError")
    bury(desk, "c", age=100, queue="mail")
    bury(desk, "d", error="Größe")
    bury(desk, "e", name="mul")
    bury(desk, "f")

    done = walk_all(desk, verb, desk.app.bulk.walk(Selection(**selected)), look=2)

    assert done == len(meant)
    assert dead(desk) == [task for task in "abcdef" if task not in meant]
    assert states(desk, *meant) == [{"retry": "PENDING", "delete": ""}[verb]] * len(meant)
    desk.lawful()


def test_a_dead_letter_that_is_deleted_has_left_its_tags(desk: Desk) -> None:
    bury(desk, "t", tags=["x"])

    assert desk.app.bulk.delete_dead() == 1

    assert list(desk.app.inspector.tagged("x")) == []
    assert desk.fields("t") == set()


def test_a_walk_ends_where_all_have_failed_later(desk: Desk) -> None:
    bury(desk, "old", age=100)
    bury(desk, "new", "newer")
    desk.app.clients.commands.lpush(desk.app.keys.dead_letter, *["new"] * 300)  # as if they were so many

    steps = list(desk.app.bulk.steps("retry", desk.app.bulk.walk(Selection(older_than=50)), look=101))

    assert [(step.done, step.looked, step.walk.left) for step in steps] == [(1, 101, 202), (0, 101, 0)]


def test_a_few_that_failed_later_do_not_end_a_walk(desk: Desk) -> None:
    bury(desk, "new", "newer", "newest")
    bury(desk, "old", age=100)

    assert walk_all(desk, "retry", desk.app.bulk.walk(Selection(older_than=50)), look=1) == 1


def test_one_call_takes_no_more_than_some_hundred_of_what_it_looks_at(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST", 2)
    bury(desk, *"abcde")

    steps = list(desk.app.bulk.steps("delete", desk.app.bulk.walk(Selection())))

    assert [step.done for step in steps] == [2, 2, 1]


@pytest.mark.parametrize("verb", VERBS)
def test_ids_that_are_no_dead_letters_stay_and_end_no_walk(desk: Desk, verb: Verb) -> None:
    bury(desk, "a", "b")
    desk.submit("waits")
    desk.app.clients.commands.rpush(desk.app.keys.dead_letter, "waits", "no such", "x\ny z")

    assert walk_all(desk, verb, desk.app.bulk.walk(Selection()), look=1) == 2
    assert dead(desk) == ["x\ny z", "no such", "waits"]
    assert states(desk, "waits") == ["PENDING"]


# ---- meanwhile ----------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [["a"], ["c"], ["a", "c"], ["a", "c", "e"]])
def test_what_others_take_away_behind_a_walk_hides_nothing_from_it(desk: Desk, taken: list[str]) -> None:
    for number, task in enumerate("abcdefgh"):
        bury(desk, task, name=("other", "meant")[number % 2])
    walk = desk.app.bulk.walk(Selection(name="meant"))
    first = next(desk.app.bulk.steps("retry", walk, look=6))

    desk.broker.revive(taken, "others")

    assert (first.done, first.walk.behind, first.walk.newest) == (3, 3, "e")
    assert walk_all(desk, "retry", first.walk, look=2) == 1
    assert dead(desk) == [task for task in "aceg" if task not in taken]


def test_what_is_taken_away_in_front_of_a_walk_or_added_is_not_counted(desk: Desk) -> None:
    bury(desk, *"abcdef")
    first = next(desk.app.bulk.steps("delete", desk.app.bulk.walk(Selection()), look=2))

    desk.broker.revive(["c", "f"], "others")
    time.sleep(0.002)  # Redis's clock tells milliseconds
    bury(desk, "later")  # takes c, which is ready again, in its place

    assert walk_all(desk, "delete", first.walk, look=2) == 2
    assert dead(desk) == ["c"]


@pytest.mark.parametrize("verb", VERBS)
def test_what_has_failed_since_a_walk_began_stays_though_others_have_made_room(desk: Desk, verb: Verb) -> None:
    bury(desk, *"abc")
    first = next(desk.app.bulk.steps(verb, desk.app.bulk.walk(Selection()), look=1))
    desk.broker.forget("b", [Status.FAILED], "others")
    time.sleep(0.002)
    desk.submit("later", queue="mail")
    desk.fail(desk.claim(queues=("mail",)).deliveries[0])

    assert walk_all(desk, verb, walk_from(first.walk.cursor, Selection()), look=1) == 1
    assert dead(desk) == ["later"]


@pytest.mark.parametrize("micros", [123_000, 123_001, 123_999])
def test_a_walk_begins_in_the_millisecond_that_the_scripts_would_note(
    fake_app: MiniCelery, monkeypatch: pytest.MonkeyPatch, micros: int
) -> None:
    for second in range(1_795_000_000, 1_795_000_100):
        monkeypatch.setattr(fake_app.inspector, "now", lambda at=second: at + micros / 1_000_000)

        assert fake_app.bulk.walk(Selection()).till == second + 0.123


def test_a_walk_takes_what_has_failed_before_the_clock_was_set_back(desk: Desk) -> None:
    bury(desk, "a", "b", age=-3600)

    assert walk_all(desk, "retry", desk.app.bulk.walk(Selection(older_than=0)), look=1) == 0
    assert walk_all(desk, "retry", desk.app.bulk.walk(Selection()), look=1) == 2


def test_what_fails_again_while_a_walk_goes_on_does_not_prolong_it(desk: Desk) -> None:
    bury(desk, *"abcd")
    done = 0
    for number, step in enumerate(desk.app.bulk.steps("retry", desk.app.bulk.walk(Selection()), look=2), 1):
        done += step.done
        assert number <= 2
        while (claimed := desk.claim()).deliveries:
            desk.fail(claimed.deliveries[0])

    assert done == 4
    assert dead(desk) == list("abcd")


@pytest.mark.parametrize("verb", VERBS)
def test_two_at_once_do_each_letter_once_and_count_what_they_have_done(desk: Desk, verb: Verb) -> None:
    bury(desk, *"abcdefghij", error="KeyError")
    bury(desk, "x", "y", "z")
    selections = (Selection(), Selection(error="KeyError"))
    walks = [desk.app.bulk.steps(verb, desk.app.bulk.walk(selection), 2) for selection in selections]

    turns = itertools.zip_longest(*walks)  # a call of one, then a call of the other

    done = [sum(step.done for step in steps if step) for steps in zip(*turns, strict=True)]
    assert sum(done) == 13
    assert all(done)
    assert dead(desk) == []
    desk.lawful()


def test_two_in_threads_of_their_own_take_each_letter_once(desk: Desk) -> None:
    ids = [f"t{number}" for number in range(200)]
    bury(desk, *ids)
    bulks = [make_app(desk.app.clients, desk.app.config.namespace).bulk for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        done = list(
            pool.map(lambda one: sum(step.done for step in one.steps("retry", one.walk(Selection()), 7)), bulks)
        )

    assert sum(done) == 200
    assert sorted(one.id for one in desk.claim(count=300).deliveries) == sorted(ids)
    desk.lawful()


@pytest.mark.parametrize("verb", VERBS)
def test_a_part_that_is_sent_twice_is_done_once_and_answered_alike(desk: Desk, verb: Verb) -> None:
    bury(desk, *"abcdef")
    call = desk.broker.revive_part if verb == "retry" else desk.broker.forget_part
    walk = desk.app.bulk.walk(Selection())

    answers = [call(walk, 2, 9, "request") for _ in range(2)]
    named = [call(walk, 4, 9, "another", ["d", "f"]) for _ in range(2)]

    assert answers[0] == answers[1]
    assert named[0] == named[1]
    assert (answers[0].done, named[0].done, named[0].ids, named[0].walk.newest) == (2, 2, ("d", "f"), "e")
    assert dead(desk) == ["c", "e"]


def test_nothing_is_retried_in_a_part_of_which_one_has_no_queue_to_go_to(desk: Desk) -> None:
    bury(desk, "a")
    bury(desk, "b", queue="mail")
    desk.app.clients.commands.set(desk.app.keys.queue("mail"), "foreign")

    with pytest.raises(ForeignData, match="mail"):
        desk.app.bulk.retry_dead()

    assert dead(desk) == ["a", "b"]
    assert desk.app.bulk.retry_dead(queue="default") == 1


# ---- by ids -------------------------------------------------------------------------------------


@pytest.fixture(params=["one by one", "in a walk"])
def by_ids(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are looked for in a short list, and in one that counts as long."""
    if request.param == "in a walk":
        monkeypatch.setattr(bulk, "_FEW", 1)
        monkeypatch.setattr(bulk, "_SHORT", 1)
        monkeypatch.setattr(bulk, "LOOK", 3)
        monkeypatch.setattr(bulk, "MOST", 2)


@pytest.mark.usefixtures("by_ids")
def test_dead_letters_are_retried_by_their_ids_and_what_the_others_are_is_told(desk: Desk) -> None:
    bury(desk, *"abcdefgh")
    desk.submit("waits")
    told: list[tuple[int, int]] = []

    asked = ["h", "b", "none", "c", "waits", "b"]
    outcome = desk.app.bulk.retry(asked, progress=lambda *pair: told.append(pair))
    again = desk.app.bulk.retry(asked)

    assert (outcome.done, outcome.others) == (3, {"none": None, "waits": Status.PENDING})
    assert again.done == 0
    assert told[-1] == (5, 5)
    assert dead(desk) == list("adefg")
    desk.lawful()


@pytest.mark.usefixtures("by_ids")
def test_what_is_finished_is_deleted_by_ids_and_what_is_not_is_told(desk: Desk) -> None:
    bury(desk, *"abcdef")
    desk.submit("done", "runs", "cancelled", "waits")
    desk.settle(desk.take())
    desk.take()
    desk.take()
    desk.cancel("cancelled")

    asked = ["a", "e", "f", "done", "runs", "cancelled", "waits", "none"]
    outcome = desk.app.bulk.delete(asked)
    again = desk.app.bulk.delete(asked)

    left = {"runs": Status.RUNNING, "cancelled": Status.RUNNING, "waits": Status.PENDING, "none": None}
    assert (outcome.done, outcome.others) == (4, left)
    assert again.done == 0
    assert dead(desk) == list("bcd")
    desk.lawful()


@pytest.mark.usefixtures("by_ids")
@pytest.mark.parametrize(
    ("meant", "done", "others", "left"),
    [
        (Status.FAILED, 2, {"done": Status.SUCCESS}, ["c"]),
        (Status.SUCCESS, 1, {"a": Status.FAILED, "b": Status.FAILED}, ["a", "b", "c"]),
    ],
)
def test_only_those_in_the_states_that_are_meant_are_deleted(
    desk: Desk, meant: Status, done: int, others: dict[str, Status], left: list[str]
) -> None:
    bury(desk, "a", "b", "c")
    desk.submit("done")
    desk.settle(desk.take())

    outcome = desk.app.bulk.delete(["a", "done", "b"], states={meant})

    assert (outcome.done, outcome.others) == (done, others)
    assert dead(desk) == left


def test_what_others_hide_from_a_walk_to_ids_is_found_one_by_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    bury(desk, *"abcdef")
    monkeypatch.setattr(bulk, "_FEW", 1)
    monkeypatch.setattr(bulk, "_SHORT", 1)
    monkeypatch.setattr(bulk, "LOOK", 2)
    original, first = desk.app.inspector.dead_letter_ids, [True]

    def read(offset: int, limit: int) -> list[str]:
        ids = original(offset, limit)
        if first.pop() if first else False:
            desk.broker.revive(["a", "b"], "others")
        return ids

    monkeypatch.setattr(desk.app.inspector, "dead_letter_ids", read)

    assert desk.app.bulk.delete(["c", "d"]).done == 2
    assert dead(desk) == ["e", "f"]


@pytest.mark.parametrize(("dead_ones", "pages"), [(0, 0), (2, 0), (3, 2)])
def test_the_list_is_read_only_for_more_than_a_few_that_are_dead_letters(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, dead_ones: int, pages: int
) -> None:
    monkeypatch.setattr(bulk, "_FEW", 2)
    monkeypatch.setattr(bulk, "_SHORT", 1)
    monkeypatch.setattr(bulk, "LOOK", 3)
    ids = ["s1", "s2", "s3", "s4"]
    desk.hire("w")
    desk.submit(*ids)
    for _ in ids:
        desk.settle(desk.take())
    bury(desk, *"abcdef")
    original, read = desk.app.inspector.dead_letter_ids, []

    def page(offset: int, limit: int) -> list[str]:
        read.append(offset)
        return original(offset, limit)

    monkeypatch.setattr(desk.app.inspector, "dead_letter_ids", page)

    assert desk.app.bulk.delete([*ids, *"def"[:dead_ones]]).done == 4 + dead_ones
    assert len(read) == pages


@pytest.mark.usefixtures("by_ids")
def test_no_ids_are_nothing_to_do(desk: Desk) -> None:
    assert desk.app.bulk.retry([]).done == desk.app.bulk.delete([]).done == 0


# ---- progress -----------------------------------------------------------------------------------


def _retry(desk: Desk, told: Callable[[int, int], object]) -> None:
    bury(desk, *[f"t{number}" for number in range(250)])
    desk.app.bulk.retry_dead(progress=told)


def _submit(desk: Desk, told: Callable[[int, int], object]) -> None:
    @desk.app.task
    def add(x: int) -> int:
        return x

    desk.app.submit_many([add.s(number) for number in range(250)], progress=told)


def _cancel(desk: Desk, told: Callable[[int, int], object]) -> None:
    desk.app.cancel([f"t{number}" for number in range(250)], progress=told)


def _purge(desk: Desk, told: Callable[[int, int], object]) -> None:
    desk.submit(*[f"t{number}" for number in range(250)])
    desk.app.limits.purge("default", progress=told)


def _move(desk: Desk, told: Callable[[int, int], object]) -> None:
    desk.submit(*[f"t{number}" for number in range(250)])
    desk.app.limits.move("default", "other", progress=told)


@pytest.mark.parametrize("operation", [_retry, _submit, _cancel, _purge, _move])
def test_how_far_an_operation_is_is_told_after_each_call(
    desk: Desk, operation: Callable[[Desk, Callable[[int, int], object]], None]
) -> None:
    told: list[tuple[int, int]] = []

    operation(desk, lambda *pair: told.append(pair))

    assert told[-1] == (250, 250)
    assert len(told) in (2, 3)
    assert told == sorted(told)


def test_what_is_done_stays_done_when_a_caller_has_seen_enough(desk: Desk) -> None:
    bury(desk, *[f"t{number}" for number in range(250)])

    def enough(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.app.bulk.delete_dead(progress=enough)

    assert desk.app.inspector.dead_letter_count() == 50
    desk.lawful()
