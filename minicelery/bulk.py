"""Retries and deletes by the thousand, in calls of some hundred tasks each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal, TypedDict, TypeVar, Unpack

from .broker import Broker
from .errors import InvalidInput
from .inspector import Inspector
from .letters import Selection, Step, Walk, walk_from
from .names import check_name
from .states import FINISHED, Status
from .world import World

T = TypeVar("T")
Verb = Literal["retry", "delete"]
#: Is told after each call how far an operation is: how much of what is to be looked at, and how much that is in all. If
#: it raises something, the operation ends there, and what is done stays done.
Progress = Callable[[int, int], object]

#: Tasks of one call by ids.
BATCH = 100
#: Ids that one call looks at in a walk through the dead letters, and how many of them it takes.
LOOK, MOST = 500, 200
#: One by one, each of some letters is looked for in the whole list: only where these are so few, or the list so short.
_FEW, _SHORT = 10, 5_000


class Selected(TypedDict, total=False):
    """Which dead letters, see ``Selection``."""

    name: str | None
    queue: str | None
    error: str | None
    older_than: float | None
    newer_than: float | None


@dataclass(frozen=True)
class Outcome:
    """How many tasks something was done to, and what the others are that were asked for: id → state, None where there
    is no such task."""

    done: int = 0
    others: Mapping[str, Status | None] = field(default_factory=dict)


class Bulk:
    """Retries dead letters and deletes finished tasks, by their ids or all that are alike.

    An operation is many calls of scripts, each of which does some hundred tasks as a whole. If it breaks off, what is
    done stays done, and repeating it does no harm: what has been retried is no dead letter any more. Several may be at
    it at once; each counts what it has done itself. All methods raise ``InvalidInput`` that names the field, and
    ``RedisUnavailable``.
    """

    def __init__(self, broker: Broker, inspector: Inspector, world: World) -> None:
        self._broker = broker
        self._inspector = inspector
        self._world = world

    def retry(self, task_ids: Iterable[str], *, progress: Progress | None = None) -> Outcome:
        """Put dead letters back into their queues with all their retries. Others are left as they are, and told."""
        return self._each("retry", task_ids, progress)

    def delete(
        self, task_ids: Iterable[str], *, states: Set[Status] = FINISHED, progress: Progress | None = None
    ) -> Outcome:
        """Delete finished tasks, dead letters among them, with their results and errors; or only those in some
        ``states``. What is not finished is left as it is, and told: cancel it first. What was cancelled while it runs
        is RUNNING here, until its run is over."""
        return self._each("delete", task_ids, progress, FINISHED & states)

    def retry_dead(self, *, progress: Progress | None = None, **selected: Unpack[Selected]) -> int:
        """Put the dead letters of this moment that are alike, or all of them, back into their queues, oldest first. How
        many that were."""
        return self._all("retry", selected, progress)

    def delete_dead(self, *, progress: Progress | None = None, **selected: Unpack[Selected]) -> int:
        """Delete the dead letters of this moment that are alike, or all of them. How many that were."""
        return self._all("delete", selected, progress)

    def walk(self, selection: Selection, cursor: str | None = None) -> Walk:
        """The beginning of a walk through the dead letters of this moment, or where an earlier one was left."""
        if cursor is not None:
            return walk_from(cursor, selection)
        left, now = self._inspector.dead_letter_count(), self._inspector.now()
        now = int(now * 1000 + 0.0005) / 1000  # as the scripts note it: what fails in the next millisecond is later
        since = None if selection.newer_than is None else round(now - selection.newer_than, 3)
        return Walk(selection, left, since=since, till=round(now - (selection.older_than or 0), 3))

    def steps(self, verb: Verb, walk: Walk, look: int = LOOK) -> Iterator[Step]:
        """Retry or delete what a walk comes to, call by call; in each it looks at ``look`` ids at most, 500 if they are
        more."""
        while walk.left > 0:
            step = self._part(verb, walk, min(look, LOOK, walk.left))
            walk = step.walk
            yield step
            if not step.looked:
                return

    def _all(self, verb: Verb, selected: Selected, progress: Progress | None) -> int:
        done = looked = 0
        for step in self.steps(verb, self.walk(Selection(**selected))):
            done += step.done
            looked += step.looked
            if progress:
                progress(looked, looked + step.walk.left)
        return done

    def _part(self, verb: Verb, walk: Walk, look: int, only: Iterable[str] = ()) -> Step:
        call = self._broker.revive_part if verb == "retry" else self._broker.forget_part
        return call(walk, look, MOST, self._world.nonce(), only)

    def _each(
        self, verb: Verb, task_ids: Iterable[str], progress: Progress | None, states: Set[Status] = FINISHED
    ) -> Outcome:
        asked = dict.fromkeys(checked_ids(task_ids))
        total, done, others = len(asked), 0, {}
        tell = progress or _nobody
        dead: dict[str, None] = {}
        if total > _FEW and Status.FAILED in states and self._inspector.dead_letter_count() > _SHORT:
            dead = self._dead_among(list(asked), lambda: tell(0, total))
        rest = [one for one in asked if one not in dead]
        if len(dead) > _FEW:
            for step in self._walk_to(verb, dead):
                done += step
                tell(done, total)
        for ids in chain(batches(list(dead), _FEW), batches(rest, BATCH)):
            kept = self._at_once(verb, ids, states)
            done += len(ids) - len(kept)
            others.update(kept)
            tell(done + len(others), total)
        return Outcome(done, others)

    def _dead_among(self, asked: Sequence[str], tell: Callable[[], object]) -> dict[str, None]:
        """Those of some ids that are dead letters now, in the order of the ids; ``tell`` is called after each call."""
        dead: dict[str, None] = {}
        for ids in batches(asked, LOOK):
            states = self._inspector.statuses(ids)
            dead.update((one, None) for one, state in zip(ids, states, strict=True) if state is Status.FAILED)
            tell()
        return dead

    def _walk_to(self, verb: Verb, wanted: dict[str, Any]) -> Iterator[int]:
        """Take those that are wanted and found among the dead letters, part by part: how many. What others take away
        meanwhile may hide some from it; they are still wanted then."""
        walk = Walk(Selection(), self._inspector.dead_letter_count())
        while walk.left > 0 and wanted:
            ids = self._inspector.dead_letter_ids(-(walk.behind + min(LOOK, walk.left)), min(LOOK, walk.left))
            found = [task_id for task_id in ids if task_id in wanted]
            if not ids:
                return
            if not found:
                walk = replace(walk, left=walk.left - len(ids), behind=walk.behind + len(ids), newest=ids[0])
                yield 0
                continue
            step = self._part(verb, walk, len(ids), found)
            for task_id in step.ids:
                del wanted[task_id]
            walk = step.walk
            yield step.done

    def _at_once(self, verb: Verb, ids: Sequence[str], deletable: Set[Status]) -> dict[str, Status | None]:
        """Do it in one call; the states of those that it could not be done to."""
        if verb == "delete":
            states = self._broker.forget_many(ids, sorted(deletable), self._world.nonce())
            return {one: state for one, state in zip(ids, states, strict=True) if state not in deletable}
        answers = self._broker.revive(ids, self._world.nonce())
        refused = [one for one, is_done in zip(ids, answers, strict=True) if not is_done]
        return dict(zip(refused, self._inspector.statuses(refused), strict=True)) if refused else {}


def _nobody(*_: int) -> None:
    """Nobody is told how far an operation is."""


def checked_ids(task_ids: Iterable[str]) -> list[str]:
    """Ids of tasks, or ``InvalidInput`` with the place of one that is none."""
    if isinstance(task_ids, str):
        raise InvalidInput("give a list of ids", "/task_ids")
    return [check_name(task_id, f"/task_ids/{place}") for place, task_id in enumerate(task_ids)]


def batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The values in slices of a size."""
    return (values[start : start + size] for start in range(0, len(values), size))
