"""Real worker processes with the tasks of ``tests.faults.tasks``."""

from collections.abc import Callable

import pytest

from minicelery import MiniCelery
from tests.faults import tasks as module
from tests.real.conftest import Crew, Worker
from tests.real.conftest import crew as crew
from tests.real.conftest import declare as declare_of


def declare(app: MiniCelery) -> MiniCelery:
    """Declare the tasks of ``tests.faults.tasks`` on another app, to send them from there."""
    return declare_of(app, module.app)


@pytest.fixture
def tasks(real_app: MiniCelery) -> MiniCelery:
    """The tasks of ``tests.faults.tasks``, sent into the crew's namespace."""
    return declare(real_app)


@pytest.fixture
def start(crew: Crew) -> Callable[..., Worker]:
    """Starts a worker with those tasks, whose lease is so long that nothing can wait for its end."""

    def start(*arguments: str, **environ: str) -> Worker:
        return crew.start(*arguments, app="tests.faults.tasks:app", **{"MINICELERY_LEASE": "600", **environ})

    return start
