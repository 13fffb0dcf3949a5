"""How long operations are shown, and how they end early."""

import os
import signal
from contextlib import suppress

import pytest

from minicelery.errors import RedisUnavailable
from minicelery.progress_line import shown
from minicelery.terminal import STOPPED


def test_elsewhere_than_on_a_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("deleting") as line:
        line.show(100, 200)
        line.show(200, 200)

    assert capsys.readouterr() == ("", "")


def _operation(*signals_at: int) -> list[int]:
    """Calls until it is done or ended; Ctrl-C comes during some of them. Those that it has made."""
    calls = []
    with suppress(SystemExit), shown("deleting") as line:
        for done in range(100, 2001, 100):
            for _ in range(signals_at.count(done)):
                os.kill(os.getpid(), signal.SIGINT)
            calls.append(done)
            line.show(done, 2000)
    return calls


def test_ctrl_c_ends_an_operation_behind_the_call_that_is_on_its_way_and_tells_how_much_is_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(signal.SIGINT)

    assert _operation(200) == [100, 200]
    assert capsys.readouterr().err == "minicelery: stopped: deleting 200 of 2,000; what is done stays done\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_who_ends_an_operation_early_gets_an_exit_code_of_its_own() -> None:
    def stopped() -> None:
        with shown("deleting") as line:
            line.stop()
            line.show(100, 200)

    with pytest.raises(SystemExit) as ended:
        stopped()

    assert ended.value.code == STOPPED


def test_a_second_ctrl_c_does_not_wait(capsys: pytest.CaptureFixture[str]) -> None:
    assert _operation(200, 200) == [100]
    assert "deleting 100 of 2,000" in capsys.readouterr().err


def test_an_operation_that_has_been_done_when_it_is_stopped_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert _operation(2000)[-1] == 2000
    assert capsys.readouterr().err == ""


def _breaking_off() -> None:
    with shown("deleting") as line:
        line.show(100, 200)
        raise RedisUnavailable("away")


def test_where_redis_goes_away_it_is_told_how_much_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RedisUnavailable):
        _breaking_off()

    assert capsys.readouterr().err == "minicelery: it broke off: deleting 100 of 200; what is done stays done\n"
