"""Workers of several releases, whose code has a schedule in other definitions, or no longer."""

import signal
from collections.abc import Callable

import pytest

from minicelery import MiniCelery
from minicelery.schedule import ScheduleRecord
from tests.faults import release_tasks
from tests.real.conftest import Crew, Worker, declare
from tests.stack import wait_until

OLD, NEW = 1, 3600


@pytest.fixture
def app(real_app: MiniCelery) -> MiniCelery:
    return declare(real_app, release_tasks.app)


@pytest.fixture
def start(crew: Crew) -> Callable[[int | None], Worker]:
    """Starts a worker of a release; its beats follow one another quickly."""

    def start(every: int | None) -> Worker:
        more = {"RELEASE_EVERY": str(every)} if every else {}
        return crew.start("--threads", "1", app="tests.faults.release_tasks:app", MINICELERY_LEASE="1.5", **more)

    return start


def ours(app: MiniCelery) -> ScheduleRecord | None:
    return next((record for record in app.schedules.list() if record.schedule.name == "ours"), None)


def is_due_every(app: MiniCelery, seconds: int) -> bool:
    found = ours(app)
    return found is not None and found.declared and found.schedule.rule.every == seconds


def fired(app: MiniCelery, name: str) -> int:
    return app.schedules.get(name).fired


def test_releases_side_by_side_do_not_fight_and_what_was_removed_is_not_fired(
    app: MiniCelery, start: Callable[[int | None], Worker]
) -> None:
    app.schedules.add("probe", {"name": "tick"}, every=1)
    old = start(OLD)
    wait_until(lambda: is_due_every(app, OLD) and fired(app, "ours"), 20, "the first release")
    new = start(NEW)
    wait_until(lambda: is_due_every(app, NEW), 20, "the second release")
    version, changed = app.schedules.get("ours").schedule.version, app.schedules.get("ours").updated_at

    until = fired(app, "probe") + 2  # the old release beats several times meanwhile
    wait_until(lambda: fired(app, "probe") >= until, what="two seconds")
    assert (app.schedules.get("ours").schedule.version, app.schedules.get("ours").updated_at) == (version, changed)

    new.signal(signal.SIGTERM)
    wait_until(lambda: is_due_every(app, OLD), 20, "the step back")
    start(None).ready()
    old.signal(signal.SIGTERM)
    old.end()
    wait_until(lambda: not app.schedules.get("ours").declared, what="the end of the schedule")
    times, until = fired(app, "ours"), fired(app, "probe") + 2
    wait_until(lambda: fired(app, "probe") >= until, what="two seconds")
    assert fired(app, "ours") == times
