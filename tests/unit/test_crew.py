"""Who of the threads claims, and how much at once."""

import pytest

from minicelery.worker.crew import Crew
from minicelery.worker.pace import PATIENCE


@pytest.fixture
def crew() -> Crew:
    made = Crew()
    for _ in range(4):
        made.join()
    return made


def test_a_claim_may_bring_what_all_threads_do_within_the_patience(crew: Crew) -> None:
    assert crew.begin_trade(0) == pytest.approx(4 * PATIENCE)


def test_threads_that_wait_at_the_door_do_nothing_of_it(crew: Crew) -> None:
    crew.go_to_the_door()
    assert crew.begin_trade(0) == pytest.approx(3 * PATIENCE)

    crew.come_back()
    crew.end_trade(0)
    assert crew.begin_trade(0) == pytest.approx(4 * PATIENCE)


def test_two_that_claim_at_the_same_time_share_the_patience(crew: Crew) -> None:
    crew.begin_trade(0)

    assert crew.begin_trade(0) == pytest.approx(2 * PATIENCE)


def test_a_third_thread_rests_while_two_bring_enough(crew: Crew) -> None:
    crew.begin_trade(0)
    crew.end_trade(20)
    crew.begin_trade(0)
    crew.begin_trade(0)

    assert crew.begin_trade(0) is None


def test_a_third_thread_claims_too_while_claims_bring_a_single_task_each(crew: Crew) -> None:
    crew.begin_trade(0)
    crew.end_trade(1)
    crew.begin_trade(0)
    crew.begin_trade(0)

    assert crew.begin_trade(0) is not None


@pytest.mark.parametrize(
    ("brought", "seconds", "woken"),
    [
        (0, 0.0, 1),  # to look for itself
        (1, 5.0, 1),  # to claim for itself, as that one task is in a hand
        (50, 0.0001, 0),
        (50, 0.0011, 2),
        (50, 0.050, 4),
        (3, 0.050, 2),
    ],
)
def test_who_rests_is_woken_for_what_is_worth_it(
    crew: Crew, monkeypatch: pytest.MonkeyPatch, brought: int, seconds: float, woken: int
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(crew, "_resting", 4)
    monkeypatch.setattr(crew._changed, "notify", calls.append)
    crew.begin_trade(0)

    crew.end_trade(brought, seconds)

    assert [min(4, number) for number in calls] == [woken]


def test_nobody_rests_when_nobody_claims(crew: Crew) -> None:
    crew.rest()  # returns at once: with a trade under way it would wait

    assert crew._resting == 0


def test_what_waits_already_is_part_of_the_patience(crew: Crew) -> None:
    crew.begin_trade(0)
    crew.end_trade(20, 0.020)

    assert crew.begin_trade(15) == pytest.approx(4 * PATIENCE - 0.015)


def test_a_claim_may_bring_no_second_task_while_more_waits_than_the_patience_bears(crew: Crew) -> None:
    crew.begin_trade(0)
    crew.end_trade(20, 0.060)

    assert crew.begin_trade(15) == 0


@pytest.mark.parametrize(
    ("brought", "left", "is_low"),
    [(20, 14, True), (20, 15, False), (8, 5, True), (7, 0, False), (0, 0, False)],
)
def test_more_is_claimed_when_a_quarter_of_a_large_claim_is_used_up(
    crew: Crew, brought: int, left: int, is_low: bool
) -> None:
    crew.begin_trade(0)
    crew.end_trade(brought)

    assert crew.is_low(left) is is_low


def test_nobody_claims_ahead_while_another_is_claiming(crew: Crew) -> None:
    crew.begin_trade(0)
    crew.end_trade(20)
    assert crew.is_low(9)

    crew.begin_trade(9)
    assert not crew.is_low(9)


def test_what_one_was_given_at_the_door_counts_as_a_claim(crew: Crew) -> None:
    crew.go_to_the_door()
    assert not crew.is_low(5)

    crew.come_back(16, 0.016)

    assert crew.is_low(5)
