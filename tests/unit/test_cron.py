"""When rules are due, in any zone and on the days on which clocks change."""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicelery.cron import LONGEST_EVERY, Rule, check_rule
from minicelery.errors import InvalidInput


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def following(cron: str, zone: str, start: str, count: int = 3) -> list[str]:
    """The next due times after a local one, as their dates, times and offsets."""
    rule = check_rule(cron, zone)
    moments = islice(rule.between(at(start, zone), float("inf")), count)
    return [f"{rule.local(moment):%m-%dT%H:%M:%S%z}".replace(":00+", "+").replace(":00-", "-") for moment in moments]


def test_an_expression_is_due_in_its_own_zone() -> None:
    times = following("*/5 9-17 * * mon-fri", "Europe/Vienna", "2026-11-27T17:50")

    assert times == ["11-27T17:55+0100", "11-30T09:00+0100", "11-30T09:05+0100"]


def test_a_time_that_the_spring_leaves_out_is_due_right_after_the_gap() -> None:
    assert following("30 2 * * *", "Europe/Vienna", "2026-03-28T00:00") == [
        "03-28T02:30+0100",
        "03-29T03:00+0200",
        "03-30T02:30+0200",
    ]
    assert following("30 2 * * *", "America/New_York", "2026-03-08T00:00", 2) == [
        "03-08T03:00-0400",
        "03-09T02:30-0400",
    ]
    assert following("15 2 * * *", "Australia/Lord_Howe", "2026-10-04T00:00", 2) == [
        "10-04T02:30+1100",
        "10-05T02:15+1100",
    ]


def test_two_times_within_the_gap_are_one_run() -> None:
    assert following("0,30 2 * * *", "Europe/Vienna", "2026-03-28T03:00", 2) == [
        "03-29T03:00+0200",
        "03-30T02:00+0200",
    ]


def test_a_time_that_comes_twice_in_autumn_is_due_the_first_time_only() -> None:
    assert following("30 2 * * *", "Europe/Vienna", "2026-10-25T00:00", 2) == ["10-25T02:30+0200", "10-26T02:30+0100"]
    assert following("30 1 * * *", "America/New_York", "2026-11-01T00:00", 2) == [
        "11-01T01:30-0400",
        "11-02T01:30-0500",
    ]
    assert following("45 1 * * *", "Australia/Lord_Howe", "2026-04-05T00:00", 2) == [
        "04-05T01:45+1100",
        "04-06T01:45+1030",
    ]


def test_the_second_of_two_equal_times_is_no_reason_to_be_due_again() -> None:
    rule = check_rule("30 2 * * *", "Europe/Vienna")
    second = at("2026-10-25T01:10")  # 02:10 for the second time

    assert rule.local(rule.after(second) or 0).isoformat() == "2026-10-26T02:30:00+01:00"


def test_every_half_hour_is_half_an_hour_also_when_clocks_change() -> None:
    for zone, day in (
        ("Europe/Vienna", "2026-03-29"),
        ("Europe/Vienna", "2026-10-25"),
        ("America/New_York", "2026-11-01"),
    ):
        moments = list(check_rule("*/30 * * * *", zone).between(at(day, zone) - 1, at(day, zone) + 86400))

        assert {after - before for before, after in pairwise(moments)} == {1800}


ZONES = {
    "Europe/Vienna": ("2026-03-28", "2026-10-24"),
    "America/New_York": ("2026-03-07", "2026-10-31"),
    "Australia/Lord_Howe": ("2026-04-04", "2026-10-03"),
    "Asia/Beirut": ("2026-03-28", "2026-10-24"),
    "Antarctica/Troll": ("2026-03-28", "2026-10-24"),
}


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    zone=st.sampled_from(sorted(ZONES)),
    spring=st.booleans(),
    minutes=st.sampled_from(["*/5", "*/15", "*/30", "0", "20", "45"]),
    hours=st.none() | st.lists(st.integers(0, 23), min_size=1, max_size=3, unique=True),
    start=st.integers(0, 24 * 60),
)
def test_what_goes_by_the_time_that_passes_is_due_whenever_the_clock_on_the_wall_says_so(
    zone: str, spring: bool, minutes: str, hours: list[int] | None, start: int
) -> None:
    minutes = "*/20" if hours and "*" not in minutes else minutes  # else it is due once a day
    rule = check_rule(f"{minutes} {','.join(map(str, hours)) if hours else '*'} * * *", zone)
    begin = at(ZONES[zone][spring], zone) + start * 60
    fit = set(range(0, 60, int(minutes[2:]))) if "*" in minutes else {int(minutes)}

    def shows(moment: int) -> bool:
        local = rule.local(moment)
        return local.minute in fit and (not hours or local.hour in hours)

    end = begin + 36 * 3600
    assert list(rule.between(begin, end)) == [one for one in range(begin + 60, end + 1, 60) if shows(one)]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    cron=st.sampled_from(["30 2 * * *", "0,30 1-3 * * *", "*/7 * * * *", "5 */2 * * *"]),
    start=st.integers(0, 3 * 86400),
)
def test_due_times_do_not_depend_on_when_one_asks(cron: str, start: int) -> None:
    begin = at("2026-10-24", "Europe/Vienna")

    following = next(moment for moment in chain_of(cron, begin) if moment > begin + start)
    assert check_rule(cron, "Europe/Vienna").after(begin + start) == following


@cache
def chain_of(cron: str, begin: int) -> list[int]:
    return list(check_rule(cron, "Europe/Vienna").between(begin - 1, begin + 5 * 86400))


def test_an_interval_counts_from_the_epoch() -> None:
    assert list(check_rule(every=40).between(100, 200)) == [120, 160, 200]
    assert check_rule(every=3600).after(at("2026-01-01T10:20") + 0.5) == at("2026-01-01T11:00")
    assert check_rule(every=timedelta(minutes=5)) == Rule(every=300)


def test_seconds_may_stand_in_front() -> None:
    assert following("*/20 * * * * *", "UTC", "2026-01-01T00:00", 2) == ["01-01T00:00:20+0000", "01-01T00:00:40+0000"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (check_rule("0 2 * * *", "Europe/Vienna"), "At 02:00 every day, Europe/Vienna"),
        (check_rule("@weekly"), "At 00:00 on Sunday, UTC"),
        (check_rule(every=1), "Every second"),
        (check_rule(every=90), "Every 90 seconds"),
        (check_rule(every=7200), "Every 2 hours"),
        (check_rule(every=86400), "Every day"),
    ],
)
def test_a_rule_in_words(rule: Rule, words: str) -> None:
    assert rule.words() == words


@pytest.mark.parametrize(
    ("given", "pointer", "told"),
    [
        ({}, "/cron", "give cron or every"),
        ({"cron": "* * * * *", "every": 5}, "/every", "not both"),
        ({"cron": "61 * * * *"}, "/cron", "bad minute"),
        ({"cron": "* * *"}, "/cron", "wrong number of fields"),
        ({"cron": 5}, "/cron", "not a cron expression"),
        ({"cron": "0 " * 300}, "/cron", "not a cron expression"),
        ({"cron": "0 0 30 2 *"}, "/cron", "bad day-of-month"),
        ({"cron": "0 0 29-31 2 mon#6"}, "/cron", "bad day-of-week"),
        ({"cron": "* * * * *", "timezone": "Europe/Viena"}, "/timezone", "did you mean 'Europe/Vienna'"),
        ({"cron": "* * * * *", "timezone": "../etc/passwd"}, "/timezone", "not a time zone"),
        ({"cron": "* * * * *", "timezone": "Europe"}, "/timezone", "not a time zone"),
        ({"cron": "* * * * *", "timezone": 1}, "/timezone", "not a time zone"),
        ({"every": 5, "timezone": "UTC"}, "/timezone", "leave it out"),
        ({"every": 0}, "/every", "whole seconds"),
        ({"every": 1.5}, "/every", "whole seconds"),
        ({"every": True}, "/every", "whole seconds"),
        ({"every": float("nan")}, "/every", "whole seconds"),
        ({"every": LONGEST_EVERY + 1}, "/every", "whole seconds"),
        ({"every": "5"}, "/every", "whole seconds"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_field(given: dict[str, object], pointer: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as refused:
        check_rule(**given)

    assert refused.value.pointer == pointer


def test_a_rule_tells_no_time_of_day_of_this_machine() -> None:
    assert check_rule("0 0 1 1 *").after(datetime(1990, 5, 1, tzinfo=UTC).timestamp()) == at("1991-01-01")
