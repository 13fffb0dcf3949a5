"""Limits and pauses that operators set at run time: they hold for all workers, from the next claim on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from . import codec
from .broker import Broker
from .bulk import Progress
from .errors import InvalidInput
from .inspector import Inspector
from .keys import HIGHEST_PRIORITY
from .names import check_name, check_queue
from .options import check_concurrency
from .queue_settings import QueueSettings, ageing_text, checked
from .rates import interval_of, rate_of

_MOST_WORDS = 200


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when something is paused, in epoch seconds, by whom and why, as they have said."""

    since: float
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """What is set for a queue, or for the tasks of one name (``kind`` is "queue" or "task"); None for what is not.

    Of a queue it is what holds: ``from_code`` names what of it the code says, as nothing was set at run time.
    """

    kind: str
    name: str
    rate: str | None = None
    concurrency: int | None = None
    pause: Pause | None = None
    ageing: float | None = None
    from_code: tuple[str, ...] = ()


class Limits:
    """Sets and shows limits and pauses. What is set goes before what the code declares.

    Tasks that run already go on, and a new limit counts only those that have begun since it was set. All methods raise
    ``InvalidInput`` that names the field, and ``RedisUnavailable``.
    """

    def __init__(self, broker: Broker, inspector: Inspector) -> None:
        self._broker = broker
        self._inspector = inspector

    def set_task(self, name: str, *, rate: str | float | None = None, concurrency: int | None = None) -> Control:
        """Limit the tasks of a name: starts in a period ('100/m'), runs at the same time; None leaves it as it is.

        Where the code has a key for the limit, it holds for each value of the key.
        """
        check_name(name, "/name")
        interval = None if rate is None else interval_of(rate, "/rate_limit")
        slots = None if concurrency is None else check_concurrency(concurrency)
        if interval is None and slots is None:
            raise InvalidInput("nothing to set; give a rate_limit or a concurrency", "/rate_limit")
        if interval is not None:
            self._broker.control(f"rate/{name}", f"{interval:.6f}")
        if slots is not None:
            self._broker.control(f"slots/{name}", str(slots))
        return self.of("task", name)

    def set_queue(self, queue: str, *, concurrency: int | None = None, ageing: float | None = None) -> Control:
        """Limit how many tasks of a queue run at the same time, in all workers together; let those that wait there age,
        see ``QueueOptions``. None leaves it as it is."""
        check_queue(queue)
        settings = checked(concurrency, ageing)
        if settings.concurrency is not None:
            self._broker.control(f"queue/{queue}", str(settings.concurrency))
        if settings.ageing is not None:
            self._broker.control(f"ageing/{queue}", ageing_text(settings.ageing))
        return self.of("queue", queue)

    def clear_task(self, name: str) -> None:
        """Take the limits away that were set for a task's name; those that the code declares hold again."""
        check_name(name, "/name")
        for kind in ("rate", "slots"):
            self._broker.control(f"{kind}/{name}", "")

    def clear_queue(self, queue: str) -> None:
        """Take away what was set for a queue, but for a pause; what the code declares holds again."""
        check_queue(queue)
        for kind in ("queue", "ageing"):
            self._broker.control(f"{kind}/{queue}", "")

    def pause_task(self, name: str, *, by: str = "", reason: str = "") -> None:
        """Let no task of a name begin until it is resumed, in any queue. Those behind them are not held up."""
        self._broker.control(f"pause/{check_name(name, '/name')}", self._pause(by, reason))

    def pause_queue(self, queue: str, *, by: str = "", reason: str = "") -> None:
        """Let no task of a queue begin until it is resumed."""
        self._broker.control(f"pause-queue/{check_queue(queue)}", self._pause(by, reason))

    def resume_task(self, name: str) -> bool:
        """End the pause of a task's name. False if there was none."""
        return self._broker.control(f"pause/{check_name(name, '/name')}", "") != ""

    def resume_queue(self, queue: str) -> bool:
        """End the pause of a queue. False if there was none."""
        return self._broker.control(f"pause-queue/{check_queue(queue)}", "") != ""

    def purge(self, queue: str, *, progress: Progress | None = None) -> int:
        """Cancel all that is ready in a queue at this moment, with those that wait for their tenant's turn. How many
        tasks that were; delayed ones and those that wait for a limit are not among them."""
        return self._counted(queue, self.purging(queue), progress)

    def move(self, queue: str, target: str, *, progress: Progress | None = None) -> int:
        """Put all that is ready in a queue into another one, behind what waits there, in order, with those that wait
        for their tenant's turn. How many tasks that were."""
        return self._counted(queue, self.moving(queue, target), progress)

    def purging(self, queue: str) -> Iterator[int]:
        """``purge``, call by call: how many tasks each of them has cancelled."""
        check_queue(queue)
        return self._in_all_lists(queue, lambda priority: self._broker.purge(queue, priority))

    def moving(self, queue: str, target: str) -> Iterator[int]:
        """``move``, call by call: how many tasks each of them has moved."""
        check_queue(queue)
        if check_queue(target, "/to") == queue:
            raise InvalidInput("the tasks are in this queue already; name another one", "/to")
        return self._in_all_lists(queue, lambda priority: self._broker.move(queue, priority, target))

    def _counted(self, queue: str, steps: Iterator[int], progress: Progress | None) -> int:
        total, done = self._inspector.queue_length(queue) if progress else 0, 0
        for some in steps:
            done += some
            if progress and some:
                progress(done, max(done, total))
        return done

    def _in_all_lists(self, queue: str, step: Callable[[int], tuple[int, int]]) -> Iterator[int]:
        """Take step by step as many as are in the lists of a queue now, from their heads; what comes meanwhile stays,
        unless its tenant's turn comes before that of those who were there."""
        for priority in range(HIGHEST_PRIORITY, -1, -1):
            some, left = step(priority)
            yield some
            most = left + (sum(self._inspector.waiting_for_turns(queue, [priority])) if left else 0)
            while left > 0 and most > 0:
                before = left
                some, left = step(priority)
                yield some
                most -= max(some, before - left, 1)

    def all(self) -> list[Control]:
        """All that is set, and what the code says of queues; sorted."""
        return _controls(self._inspector.controls(), self._inspector.queue_settings())

    def of(self, kind: str, name: str) -> Control:
        """What is set for one queue or task's name; nothing of it where there is nothing."""
        return next((one for one in self.all() if (one.kind, one.name) == (kind, name)), Control(kind, name))

    def _pause(self, by: str, reason: str) -> str:
        for word, pointer in ((by, "/by"), (reason, "/reason")):
            if not isinstance(word, str) or len(word) > _MOST_WORDS or not word.isprintable():
                raise InvalidInput(f"{word!r:.100} is not a line of at most {_MOST_WORDS} characters", pointer)
        return codec.write({"by": by, "reason": reason})[1:-1]


def described(control: Control) -> dict[str, Any]:
    """What is set, as every interface shows it."""
    pause = control.pause
    since = datetime.fromtimestamp(pause.since, UTC).isoformat(timespec="seconds") if pause else None
    return {
        "kind": control.kind,
        "name": control.name,
        "rate_limit": control.rate,
        "concurrency": control.concurrency,
        "ageing": control.ageing,
        "from_code": list(control.from_code),
        "paused": {"since": since, "by": pause.by, "reason": pause.reason} if pause else None,
    }


def _controls(fields: Mapping[str, str], settings: Mapping[str, str]) -> list[Control]:
    """The controls of a hash of fields as ``control`` has them, and of settings of queues as ``beat`` has them.

    What is none of ours is left out.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for field, value in fields.items():
        kind, _, name = field.partition("/")
        try:
            match kind:
                case "rate":
                    found.setdefault(("task", name), {})["rate"] = rate_of(float(value))
                case "slots" | "queue":
                    found.setdefault(("queue" if kind == "queue" else "task", name), {})["concurrency"] = int(value)
                case "ageing" if 0 < float(value) < 1e9:
                    found.setdefault(("queue", name), {})["ageing"] = float(value)
                case "pause" | "pause-queue":
                    subject = ("queue" if kind == "pause-queue" else "task", name)
                    found.setdefault(subject, {})["pause"] = Pause(**codec.decode(value))
        except (ValueError, TypeError, ZeroDivisionError):
            continue
    for queue, text in settings.items():
        with suppress(ValueError):
            _add_settings(found.setdefault(("queue", queue), {}), QueueSettings.read(text))
    return [Control(kind, name, **what) for (kind, name), what in sorted(found.items())]


def _add_settings(control: dict[str, Any], settings: QueueSettings) -> None:
    """What the code says of a queue, as far as nothing else is set."""
    ours = {name: value for name, value in asdict(settings).items() if value is not None and name not in control}
    control.update(ours, from_code=tuple(ours))
