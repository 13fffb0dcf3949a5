"""Which due times are fired: all that are nearly in time, and of the missed ones as many as the policy says."""

import pytest

from minicelery.cron import check_rule
from minicelery.schedule import Missed
from minicelery.slots import BATCH, MISSED_AFTER, Plan, plan

SECONDLY, MINUTELY = check_rule(every=1), check_rule(every=60)
DUE = 1_200_000_000


def test_what_is_due_is_fired_and_the_next_time_follows_from_it() -> None:
    assert plan(MINUTELY, Missed.SKIP, 1000, DUE, DUE + 0.01) == Plan((DUE,), DUE + 60)


@pytest.mark.parametrize("missed", [*Missed])
def test_nearly_in_time_is_not_missed_whatever_the_policy_says(missed: Missed) -> None:
    late = MISSED_AFTER

    assert plan(SECONDLY, missed, 1, DUE, DUE + late).slots == tuple(range(DUE, DUE + late + 1))
    assert plan(SECONDLY, missed, 1, DUE, DUE + late).next == DUE + late + 1


def test_skip_fires_nothing_that_was_missed() -> None:
    assert plan(MINUTELY, Missed.SKIP, 1000, DUE, DUE + 3600 + 31) == Plan((), DUE + 3660)


@pytest.mark.parametrize("seconds", [0, 5, MISSED_AFTER, MISSED_AFTER - 0.5])
def test_skip_fires_what_is_nearly_in_time_after_all_that_was_missed(seconds: float) -> None:
    assert plan(MINUTELY, Missed.SKIP, 1000, DUE, DUE + 3600 + seconds) == Plan((DUE + 3600,), DUE + 3660)


def test_once_fires_the_latest_of_what_was_missed() -> None:
    assert plan(MINUTELY, Missed.ONCE, 1000, DUE, DUE + 3600 + 5) == Plan((DUE + 3600,), DUE + 3660)
    assert plan(check_rule("20 21 * * *"), Missed.ONCE, 1000, DUE, DUE + 100).slots == (DUE,)


def test_all_fires_every_missed_one_in_batches_the_oldest_first() -> None:
    now, due, fired = DUE + 249.5, DUE, list[int]()
    while due <= now:
        planned = plan(SECONDLY, Missed.ALL, 1000, due, now)
        assert 0 < len(planned.slots) <= BATCH
        fired += planned.slots
        assert planned.next is not None
        due = planned.next

    assert fired == list(range(DUE, DUE + 250))


def test_all_is_bounded_to_the_latest() -> None:
    planned = plan(SECONDLY, Missed.ALL, 40, DUE, DUE + 86_400)

    assert planned == Plan(tuple(range(DUE + 86_330, DUE + 86_401)), DUE + 86_401), "40 missed, and 31 in time"


def test_a_year_without_workers_takes_no_time_to_look_through() -> None:
    """Of half a million due times only the last are looked at."""
    looked = 0

    class Counting:
        def after(self, moment: float) -> int | None:
            nonlocal looked
            looked += 1
            return MINUTELY.after(moment)

        def between(self, after: float, until: float) -> object:
            moment = self.after(after)
            while moment is not None and moment <= until:
                yield moment
                moment = self.after(moment)

    year = 365 * 86_400

    assert plan(Counting(), Missed.ONCE, 1000, DUE, DUE + year).slots == (DUE + year,)
    assert looked < 10
    plan(Counting(), Missed.ALL, 1000, DUE, DUE + year)
    assert looked < 6_000
