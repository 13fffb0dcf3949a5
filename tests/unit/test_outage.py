"""Requests while Redis is away."""

from minicelery.web.outage import Outage


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_while_all_is_well_everybody_may_try() -> None:
    outage = Outage(Clock())

    assert [outage.may_try() for _ in range(3)] == [True, True, True]


def test_after_a_failure_nobody_tries_for_a_second_and_then_one_at_a_time() -> None:
    clock = Clock()
    outage = Outage(clock)
    outage.begin()

    at_once = outage.may_try()
    clock.now = 1.0
    later = [outage.may_try() for _ in range(3)]
    outage.begin()
    clock.now = 1.5
    too_soon = outage.may_try()

    assert (at_once, later, too_soon) == (False, [True, False, False], False)


def test_an_answer_ends_the_outage() -> None:
    clock = Clock()
    outage = Outage(clock)
    outage.begin()
    clock.now = 1.0
    assert outage.may_try()

    outage.end()

    assert [outage.may_try() for _ in range(3)] == [True, True, True]
