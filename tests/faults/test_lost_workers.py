"""Who is taken for lost, and when: by leases, after a standstill, and by the processes of a machine."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from minicelery import MiniCelery, codec, identity
from minicelery.doorbell import Alarm
from minicelery.firing import Clockwork
from minicelery.inspector import Inspector
from minicelery.recovery import Recovery
from minicelery.states import Status
from minicelery.upkeep import Office, Upkeep
from tests.stack import wait_until
from tests.store.conftest import Desk

LEASE = 15.0
HOST = "here"


class Clocks(Inspector):
    """Two clocks that run on by hand: that of this process, and the one that Redis tells."""

    def __init__(self, app: MiniCelery) -> None:
        super().__init__(app.clients.commands, app.keys)
        self.ours = self.theirs = 1_000.0

    def expired_workers(self) -> tuple[float, list[str]]:
        return self.theirs, super().expired_workers()[1]

    def run_on(self, seconds: float) -> None:
        self.ours += seconds
        self.theirs += seconds


@pytest.fixture
def desk(fake_app: MiniCelery) -> Desk:
    """The task "t" is in the hands of a worker whose lease is over."""
    desk = Desk(fake_app)
    desk.hire("w")
    desk.submit("t")
    desk.take()
    desk.hire("w", lease=-1)
    return desk


@pytest.fixture
def clocks(fake_app: MiniCelery) -> Clocks:
    return Clocks(fake_app)


@pytest.fixture
def recovery(fake_app: MiniCelery, clocks: Clocks) -> Recovery:
    return Recovery(fake_app.broker, clocks, replace(fake_app.world, monotonic=lambda: clocks.ours), LEASE)


def look(recovery: Recovery, clocks: Clocks, seconds: float, own: Sequence[str] = ()) -> None:
    """Look every second, for so long."""
    for _ in range(round(seconds)):
        clocks.run_on(1)
        recovery.recover_expired(own)


def test_a_new_worker_waits_before_it_takes_others_for_lost(desk: Desk, recovery: Recovery, clocks: Clocks) -> None:
    look(recovery, clocks, 4)
    assert desk.where("t") == ["RUNNING", "claimed"]

    look(recovery, clocks, 2)
    assert desk.where("t") == ["PENDING", "ready"]


@pytest.mark.parametrize("who", ["ours", "theirs"])
def test_after_a_standstill_nobody_is_lost_for_one_lease(
    desk: Desk, recovery: Recovery, clocks: Clocks, who: str
) -> None:
    desk.hire("w")
    look(recovery, clocks, 10)
    setattr(clocks, who, getattr(clocks, who) + 10)
    desk.hire("w", lease=-1)

    look(recovery, clocks, 14)
    assert desk.where("t") == ["RUNNING", "claimed"]

    look(recovery, clocks, 2)
    assert desk.where("t") == ["PENDING", "ready"]


def test_a_worker_never_recovers_its_own_processes(desk: Desk, recovery: Recovery, clocks: Clocks) -> None:
    look(recovery, clocks, LEASE, own=["w"])

    assert desk.where("t") == ["RUNNING", "claimed"]


def test_a_delayed_set_that_another_program_has_taken_stops_no_recovery(desk: Desk, fake_app: MiniCelery) -> None:
    desk.hire("w", lease=-1)
    fake_app.clients.commands.set(fake_app.keys.delayed, "another program's")
    recovery = Recovery(fake_app.broker, fake_app.inspector, fake_app.world, 0.0)
    alarm = Alarm(fake_app.clients.blocking, fake_app.keys)
    clockwork = Clockwork(fake_app.timetable, fake_app.agenda, fake_app.world)
    upkeep = Upkeep(fake_app.broker, recovery, clockwork, alarm, fake_app.world, Office("here", 60.0))
    upkeep.start()
    try:
        wait_until(lambda: fake_app.inspector.task("t").status is Status.PENDING, what="the recovery")
    finally:
        upkeep.stop()


# ---- the dead of this machine ----------------------------------------------------------------------

needs_proc = pytest.mark.skipif(not identity.machine(), reason="without /proc nobody can tell who is gone")


@pytest.fixture
def gone() -> str:
    """A process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        return identity.mark(process.pid)


@pytest.fixture
def here(fake_app: MiniCelery, recovery: Recovery) -> Callable[..., bool]:
    """Whether a worker of these processes is recovered, although its lease goes on."""
    desk = Desk(fake_app)

    def is_recovered(*processes: str, machine: str | None = None, host: str = HOST) -> bool:
        facts = {"machine": identity.machine() if machine is None else machine, "processes": list(processes)}
        desk.broker.beat({f"{host}-1": codec.encode(facts)}, 60)
        desk.submit("t")
        desk.take(f"{host}-1")
        recovery.recover_kin([], HOST)
        return desk.where("t") == ["PENDING", "ready"]

    return is_recovered


@needs_proc
def test_a_worker_of_this_machine_whose_processes_are_gone_is_recovered_at_once(
    here: Callable[..., bool], gone: str, fake_app: MiniCelery
) -> None:
    assert here(gone, gone)
    assert fake_app.inspector.task("t").crashes == 1


@needs_proc
def test_a_worker_is_gone_though_another_process_has_got_its_id(here: Callable[..., bool]) -> None:
    assert here(f"{os.getpid()}:1")


@needs_proc
def test_a_worker_is_not_gone_while_one_of_its_processes_lives(here: Callable[..., bool], gone: str) -> None:
    assert not here(gone, identity.mark(os.getpid()))


@needs_proc
@pytest.mark.parametrize("named", [{"machine": "another"}, {"host": "there"}], ids=["another boot", "another host"])
def test_a_worker_of_another_machine_is_left_to_its_lease(
    here: Callable[..., bool], gone: str, named: dict[str, str]
) -> None:
    assert not here(gone, **named)


@needs_proc
def test_a_worker_that_names_no_process_is_left_to_its_lease(here: Callable[..., bool]) -> None:
    assert not here()
