"""The scripts of locks, driven by hand in whatever order: who gets one, who waits, who has lost it."""

from collections.abc import Iterator
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.config import Config
from minicelery.connection import connect
from minicelery.embedded import EmbeddedServer
from minicelery.errors import ForeignData, LockNotHeld
from minicelery.inspector import Inspector
from minicelery.lock_store import HeldLock, LockStore, Request
from tests.conftest import make_app
from tests.stack import wait_until
from tests.store.clock import Clock

LONG = 60.0
AN_HOUR = 3_600


class Counter:
    """Locks at work: requests are known by a letter, and nothing is repeated unless a test does so."""

    def __init__(self, app: MiniCelery) -> None:
        self.keys = app.keys
        self.redis = app.clients.commands
        self.store = LockStore(self.redis, app.scripts, app.keys, Inspector(self.redis, app.keys))

    def ask(self, nonce: str, *, limit: int = 1, ttl: float = LONG, place: float = LONG, name: str = "x") -> int | None:
        """The token, or None for one who waits now; with ``place=0`` nobody waits."""
        return self.store.lock_acquire(Request(name, nonce, f"host:{nonce}", ttl, limit), place)[0]

    def wait_of(self, nonce: str, **more: Any) -> float:
        """Ask in vain: the seconds until the next look."""
        token, wait = self.store.lock_acquire(Request("x", nonce, "", LONG, more.pop("limit", 1)), LONG)
        assert token is None
        return wait

    def release(self, nonce: str) -> bool:
        return self.store.lock_release("x", nonce)

    def end(self, nonce: str) -> None:
        """Let the time of a holder be over."""
        self.redis.zadd(self.keys.lock("x"), {nonce: 1})

    def end_place(self, nonce: str) -> None:
        """Let the place of one who waits be over."""
        self.redis.hset(self.keys.lock_facts("x"), nonce, "1 1.000")

    def rung(self) -> list[str]:
        """Whose bells have rung; they are silent again."""
        bells = self.redis.keys(self.keys.lock_bell("*"))
        for bell in bells:
            assert self.redis.llen(bell) == 1
            self.redis.delete(bell)
        return sorted(bell.rpartition(":")[2] for bell in bells)

    def now(self) -> HeldLock:
        return self.store.find("x")

    def owners(self) -> list[str]:
        return sorted(holder.owner.rpartition(":")[2] for holder in self.now().holders)


@pytest.fixture
def counter(app: MiniCelery) -> Counter:
    return Counter(app)


def test_one_holds_a_lock_at_a_time(counter: Counter) -> None:
    assert counter.ask("a")

    assert counter.ask("b", place=0) is None
    assert counter.ask("other", name="y")
    assert counter.release("a")
    assert counter.ask("b", place=0)


def test_tokens_grow_with_every_holder(counter: Counter) -> None:
    tokens = []
    for nonce in "abcdef":
        tokens.append(counter.ask(nonce))
        counter.release(nonce)

    assert tokens == sorted({token for token in tokens if token})


def test_tokens_grow_on_when_redis_has_lost_the_last_one(counter: Counter) -> None:
    last = counter.ask("a") or 0
    wait_until(lambda: counter.redis.time()[0] * 1000 + counter.redis.time()[1] // 1000 > last)
    counter.redis.delete(counter.keys.lock("x"), counter.keys.lock_facts("x"))

    assert (counter.ask("b") or 0) > last


def test_tokens_grow_on_when_the_clock_of_redis_is_set_back(counter: Counter) -> None:
    counter.redis.hset(counter.keys.lock_facts("x"), "fence", 4_000_000_000_000)

    assert counter.ask("a") == 4_000_000_000_001


def test_a_request_that_is_repeated_is_one_holding_with_one_token(counter: Counter) -> None:
    token = counter.ask("a", limit=2)

    assert counter.ask("a", limit=2) == token
    assert counter.owners() == ["a"]


def test_a_copy_of_a_request_that_comes_after_its_release_takes_nothing(counter: Counter) -> None:
    counter.ask("a")
    counter.release("a")

    assert counter.ask("a") is None

    assert counter.ask("b", place=0)
    counter.release("b")
    with pytest.raises(LockNotHeld):
        counter.now()


def test_a_release_that_is_repeated_says_the_same_and_touches_nobody_else(counter: Counter) -> None:
    counter.ask("a")
    assert counter.release("a")
    counter.ask("b")

    assert counter.release("a")

    assert counter.owners() == ["b"]


def test_a_lock_whose_time_is_over_goes_to_the_next_and_its_late_holder_can_not_touch_it(counter: Counter) -> None:
    stale = counter.ask("a") or 0
    counter.end("a")

    token = counter.ask("b", place=0) or 0

    assert token > stale
    assert counter.store.lock_renew([("x", "a", LONG)]) == [False]
    assert not counter.release("a")
    assert counter.owners() == ["b"]


def test_a_lock_that_nobody_else_has_got_may_be_renewed_and_released_late(counter: Counter) -> None:
    counter.ask("a")
    counter.end("a")

    assert counter.store.lock_renew([("x", "a", LONG)]) == [True]
    assert counter.owners() == ["a"]
    counter.end("a")
    assert counter.release("a")


def test_a_renewal_counts_from_now(counter: Counter) -> None:
    counter.ask("a", ttl=1)

    counter.store.lock_renew([("x", "a", 30)])

    [holder] = counter.now().holders
    assert 30 <= holder.expires - holder.since < 32


# ---- the line ---------------------------------------------------------------------------------


def test_those_who_wait_get_it_in_the_order_in_which_they_came(counter: Counter) -> None:
    counter.ask("a")
    for nonce in "zbyc":
        counter.ask(nonce)
    counter.ask("b")  # who looks again keeps its place

    got = []
    for holder in "azby":
        counter.release(holder)
        got += [nonce for nonce in "bcyz" if nonce not in got and counter.ask(nonce)]

    assert got == ["z", "b", "y", "c"]


def test_who_does_not_wait_takes_nothing_from_those_who_do(counter: Counter) -> None:
    counter.ask("a")
    counter.ask("b")
    counter.release("a")

    assert counter.ask("c", place=0) is None
    assert counter.ask("b")


def test_a_release_rings_for_the_first_in_the_line_alone(counter: Counter) -> None:
    counter.ask("a")
    counter.ask("b")
    counter.ask("c")

    counter.release("a")

    assert counter.rung() == ["b"]


def test_one_who_waits_no_more_is_in_nobodys_way(counter: Counter) -> None:
    counter.ask("a")
    for nonce in "bcd":
        counter.ask(nonce)
    counter.end_place("b")
    counter.end_place("c")

    counter.release("a")

    assert counter.rung() == ["d"]
    assert counter.ask("d")
    assert counter.redis.zcard(counter.keys.lock_line("x")) == 0


def test_one_who_died_in_the_line_before_the_clock_was_set_back_is_in_nobodys_way(
    counter: Counter, clock: Clock
) -> None:
    counter.ask("a")
    counter.ask("dead")
    counter.ask("b")

    clock.go_on(-AN_HOUR)
    counter.ask("b")
    counter.release("a")

    assert counter.rung() == ["b"]
    assert counter.ask("b")
    counter.release("b")
    assert counter.ask("c", place=0)


def test_those_who_wait_while_the_clock_is_set_back_keep_their_order(counter: Counter, clock: Clock) -> None:
    counter.ask("a")
    counter.ask("b")
    counter.ask("c")

    clock.go_on(-AN_HOUR)
    counter.ask("c")
    counter.ask("b")
    counter.release("a")

    assert counter.rung() == ["b"]
    assert counter.ask("c") is None
    assert counter.ask("b")


def test_a_place_of_before_the_clock_was_set_back_is_not_counted(counter: Counter) -> None:
    counter.ask("a")
    counter.ask("b")
    counter.ask("c")
    now = counter.redis.time()[0]

    counter.redis.hset(counter.keys.lock_facts("x"), "c", f"1 {now + AN_HOUR + 2.5:.3f} {now + AN_HOUR:.3f}")

    assert counter.now().waiting == 1


def test_a_place_that_an_earlier_version_has_noted_counts_until_it_ends(counter: Counter) -> None:
    counter.ask("a")
    counter.ask("b")
    counter.redis.hset(counter.keys.lock_facts("x"), "b", f"1 {counter.redis.time()[0] + AN_HOUR}.000")

    counter.release("a")

    assert counter.ask("c") is None
    assert counter.ask("b")
    assert counter.now().waiting == 1


def test_one_who_gives_up_leaves_the_line_and_rings_for_the_next(counter: Counter) -> None:
    counter.ask("a")
    counter.ask("b")
    counter.ask("c")

    counter.ask("b", place=0)

    assert counter.now().waiting == 1
    assert counter.rung() == ["c"]


def test_a_long_line_full_of_dead_is_passed_over(counter: Counter) -> None:
    counter.ask("a")
    for number in range(250):
        counter.ask(f"dead{number}")
        counter.end_place(f"dead{number}")
    counter.ask("b")

    counter.release("a")

    assert counter.rung() == ["b"]
    assert counter.ask("b")
    assert set(counter.redis.hkeys(counter.keys.lock_facts("x"))) == {"fence", "b"}


def test_the_next_look_is_at_the_earliest_end_that_makes_room(counter: Counter) -> None:
    counter.ask("a", ttl=10, limit=2)
    counter.ask("b", ttl=20, limit=2)

    waits = [counter.wait_of(nonce, limit=2) for nonce in "cde"]

    assert 9 < waits[0] <= 10
    assert 19 < waits[1] <= 20
    assert waits[2] == LONG


def test_who_is_behind_one_that_does_not_come_looks_when_the_place_of_that_one_ends(counter: Counter) -> None:
    counter.ask("a")
    counter.ask("b", place=7)
    counter.ask("c")
    counter.release("a")

    assert 6 < counter.wait_of("c") <= 7


# ---- semaphores -------------------------------------------------------------------------------


def test_as_many_hold_a_semaphore_as_its_limit_says(counter: Counter) -> None:
    assert all(counter.ask(nonce, limit=3) for nonce in "abc")

    assert counter.ask("d", limit=3, place=0) is None
    counter.release("b")
    assert counter.ask("d", limit=3, place=0)
    assert (counter.owners(), counter.now().limit) == (["a", "c", "d"], 3)


@pytest.mark.parametrize(("first", "second"), [(2, 5), (5, 2)])
def test_of_different_limits_the_smallest_counts(counter: Counter, first: int, second: int) -> None:
    assert counter.ask("a", limit=first)
    assert counter.ask("b", limit=second)

    assert counter.ask("c", limit=5, place=0) is None
    assert counter.now().limit == 2


def test_a_lock_waits_until_nobody_holds_the_semaphore_of_its_name_and_none_goes_ahead(counter: Counter) -> None:
    for nonce in "ab":
        counter.ask(nonce, limit=5)
    assert counter.ask("lock") is None

    assert counter.ask("c", limit=5) is None, "it came later"
    counter.release("a")
    assert counter.ask("lock") is None
    counter.release("b")
    assert counter.ask("lock")
    assert counter.ask("c", limit=5) is None
    counter.release("lock")
    assert counter.ask("c", limit=5)


def test_who_gets_a_share_rings_for_the_next_while_there_is_room(counter: Counter) -> None:
    for nonce in "ab":
        counter.ask(nonce, limit=2)
    for nonce in "cde":
        counter.ask(nonce, limit=2)
    counter.end("a")
    counter.end("b")

    assert counter.ask("c", limit=2)
    assert counter.rung() == ["d"]
    assert counter.ask("d", limit=2)
    assert counter.rung() == []


# ---- by force, and by a foreign hand ----------------------------------------------------------


def test_a_lock_that_is_broken_goes_to_the_next_and_is_lost_for_its_holders(counter: Counter) -> None:
    counter.ask("a")
    counter.ask("b")

    assert counter.store.lock_break("x", "n") == 1

    assert counter.rung() == ["b"]
    assert counter.store.lock_renew([("x", "a", LONG)]) == [False]
    assert counter.ask("b")
    assert not counter.release("a")
    assert counter.owners() == ["b"]


def test_breaking_that_is_repeated_says_the_same_and_touches_nobody_else(counter: Counter) -> None:
    counter.ask("a")
    counter.store.lock_break("x", "n")
    counter.ask("b")

    assert counter.store.lock_break("x", "n") == 1

    assert counter.owners() == ["b"]


@pytest.mark.parametrize("part", ["lock", "lock_facts", "lock_line"])
def test_a_lock_whose_key_is_overwritten_is_refused_and_nothing_is_changed(counter: Counter, part: str) -> None:
    counter.ask("a")
    counter.ask("b")
    spoilt = counter.keys.prefix + f"{part}:x"
    counter.redis.delete(spoilt)
    counter.redis.set(spoilt, "another program's")
    before = {key: counter.redis.dump(key) for key in _all(counter)}

    for change in (
        lambda: counter.ask("b"),
        lambda: counter.ask("c", place=0),
        lambda: counter.release("a"),
        lambda: counter.store.lock_break("x", "n"),
    ):
        with pytest.raises(ForeignData):
            change()

    assert {key: counter.redis.dump(key) for key in _all(counter)} == before


def test_an_overwritten_lock_keeps_no_other_from_being_renewed_or_listed(counter: Counter) -> None:
    counter.ask("a")
    counter.ask("b", name="y", ttl=1)
    counter.redis.delete(counter.keys.lock("x"))
    counter.redis.set(counter.keys.lock("x"), "another program's")

    assert counter.store.lock_renew([("x", "a", LONG), ("y", "b", LONG)]) == [False, True]
    assert [lock.name for lock in counter.store.held()] == ["y"]


def test_facts_that_are_none_hold_nobody_up(counter: Counter) -> None:
    counter.ask("a", limit=3)
    counter.redis.hset(counter.keys.lock_facts("x"), mapping={"a": "rubbish", "fence": "rubbish", "z": "1 2.3.4"})
    counter.redis.zadd(counter.keys.lock_line("x"), {"z": 0, "y": 1})

    assert counter.ask("b", limit=3)
    assert len(counter.now().holders) == 2


def test_locks_are_nothing_that_the_doctor_minds(counter: Counter, app: MiniCelery) -> None:
    for nonce in "abc":
        counter.ask(nonce)
    counter.release("a")
    assert list(app.doctor.violations()) == []

    counter.redis.delete(counter.keys.lock_line("x"))
    counter.redis.set(counter.keys.lock_line("x"), "another program's")
    [violation] = app.doctor.violations()
    assert "is a string, not a zset" in str(violation)
    counter.redis.delete(counter.keys.lock_line("x"))


# ---- memory -----------------------------------------------------------------------------------


def test_nothing_of_a_lock_stays_for_longer_than_an_hour_after_its_time(counter: Counter) -> None:
    counter.ask("a", ttl=100)
    assert all(0 < counter.redis.ttl(key) <= AN_HOUR + 100 for key in _all(counter))
    counter.store.lock_renew([("x", "a", 200)])
    for nonce in "bc":
        counter.ask(nonce)
    counter.release("b")
    assert all(0 < counter.redis.ttl(key) <= AN_HOUR + 200 for key in _all(counter))
    assert counter.redis.ttl(counter.keys.lock("x")) > AN_HOUR

    counter.release("a")
    counter.ask("c", ttl=1)
    assert counter.redis.ttl(counter.keys.lock_facts("x")) > AN_HOUR, "it was renewed for longer than that"
    counter.release("c")
    assert set(counter.redis.hkeys(counter.keys.lock_facts("x"))) == {"fence"}
    assert not counter.redis.exists(counter.keys.lock("x"), counter.keys.lock_line("x"))


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


def test_a_full_redis_gives_renews_and_takes_back_locks_so_that_what_runs_can_end(own_server: EmbeddedServer) -> None:
    app = make_app(connect(Config(redis_url=own_server.url)), "full")
    counter = Counter(app)
    counter.ask("a")
    counter.redis.config_set("maxmemory", "1mb")

    assert counter.ask("b") is None
    assert counter.store.lock_renew([("x", "a", LONG)]) == [True]
    assert counter.release("a")
    assert counter.ask("b")
    assert counter.store.lock_break("x", "n") == 1
    app.clients.close()


def _all(counter: Counter) -> list[str]:
    return [str(key) for key in counter.redis.keys(f"{counter.keys.prefix}lock*")]
