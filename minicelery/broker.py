"""The write side: one method for each script, and a script for each change of state."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from . import codec
from .errors import IdempotencyKeyReused
from .handover import Accepted, Answer, Claim, Claimed, Kept, Recovery, Settlement
from .keys import Keys
from .letters import Step, Walk
from .message import Delivery, Message
from .options import NOTHING
from .outcome import MOST_CRASHES, MOST_CRASHES_IN_ALL, MOST_SOLO_CRASHES
from .scripts import Call, Part, Scripts
from .states import Status

#: Stands for the ids of all tasks that a worker holds.
ALL = "*"
PROMOTE_BATCH = 200
#: Outcomes that do not wait for the claim which is sent with them.
_FEW = 5
#: The delay, the moment and the rest of a message that has none of them.
_PLAIN = (None, None, "")
_STATES = {status.value: status for status in Status}


class Broker:
    """Every change of a task's state. Each method is one atomic script that may safely be repeated.

    All raise ``RedisUnavailable`` (``RedisFull`` when memory is at its limit) if Redis does not answer in time.
    """

    def __init__(self, scripts: Scripts, keys: Keys, result_ttl: float, confirm: float | None = None) -> None:
        self._scripts = scripts
        self._keys = keys
        self._result_ttl = result_ttl
        self._confirm = confirm

    def enqueue(self, messages: Sequence[Message]) -> list[Answer]:
        """Submit messages, some hundred at most. For each its state now, or None where another task has the id;
        ``Accepted`` where it was not submitted now, as it is there already.

        Raises ``NotReplicated`` where a replica is to confirm them, and none has in time; ``IdempotencyKeyReused``.
        """
        part = self._enqueue(messages)
        return _states(self._scripts.run("enqueue", *part, self._confirm, brisk=len(messages) == 1))

    def enqueue_each(self, batches: Iterable[Sequence[Message]]) -> Iterator[list[Answer]]:
        """``enqueue`` for one batch after the other, where the next is sent before the answer to the last is here.

        If it fails, the batch that it met and up to ``AHEAD`` further ones may have been submitted, each as a whole.
        """
        if self._confirm is not None:
            return map(self.enqueue, batches)
        return map(_states, self._scripts.run_each("enqueue", map(self._enqueue, batches)))

    def _enqueue(self, messages: Sequence[Message]) -> Part:
        ids, names, given, named, queues, retries, delays, dues, more = zip(*messages, strict=True)
        keys = [self._keys.task(task_id) for task_id in ids]
        kinds = set(zip(names, queues, retries, delays, dues, more, strict=True))
        if len(kinds) == 1 and kinds.pop()[3:] == _PLAIN and len(set(ids)) == len(ids):
            return keys, (names[0], queues[0], retries[0], *given, *named)
        args: list[object] = []
        for *most, delay, due, rest in messages:
            args += (*most, "" if delay is None else delay, "" if due is None else due, rest)
        return keys, args

    def promote(self, *, early: bool = False) -> tuple[int, float | None]:
        """Make ready what is due, or all that is delayed if ``early``: how many, and the seconds until the next is due
        (None: nothing is delayed)."""
        moved, wait = self._scripts.run("promote", [self._keys.delayed], [PROMOTE_BATCH, int(early)])
        return moved, float(wait) if wait else None

    def claim(self, claim: Claim) -> Claimed:
        """Take the next task, of the first queue that has any, or several short ones, if the worker has a lease."""
        return _claimed(self._scripts.run(*self._claim(claim)))

    def claim_behind(self, wait: Callable[[Sequence[Any]], Any], claim: Claim) -> Claimed:
        """``claim``, sent behind what ``wait`` waits with, see ``Scripts.run_behind``; it is not repeated."""
        return _claimed(self._scripts.run_behind(wait, self._claim(claim)))

    def _claim(self, claim: Claim) -> Call:
        keys = [self._keys.workers, self._keys.claims(claim.worker), self._keys.claimed(claim.worker)]
        line, bell = self._keys.queue, self._keys.bell
        if claim.quarantine:
            line, bell = self._keys.quarantine, self._keys.quarantine_bell
        for queue in claim.queues:
            keys += (line(queue), bell(queue))
            if not claim.quarantine:
                keys.append(self._keys.priorities(queue))
        args = [claim.worker, claim.thread, claim.number, claim.nonce, claim.count, int(claim.woken)]
        args += [claim.share, claim.budget, claim.least_lease, int(claim.quarantine), self._result_ttl]
        args += chain.from_iterable(claim.costs.items())
        return "claim", keys, args

    def expire(self) -> tuple[int, float | None]:
        """End what waits and may not begin any more: how many, and the seconds until the next is too late (None:
        nothing that waits is to expire)."""
        keys = [self._keys.expiring, self._keys.delayed]
        ended, wait = self._scripts.run("expire", keys, [self._result_ttl, PROMOTE_BATCH])
        return ended, float(wait) if wait else None

    def admit(self) -> float | None:
        """Put forward those who wait at gates that may have opened. The seconds until the next gate is to be looked at
        (None: nothing waits at any that opens by itself)."""
        wait = self._scripts.run("admit", [self._keys.gates], [PROMOTE_BATCH])
        return float(wait) if wait else None

    def control(self, field: str, value: str) -> str:
        """Set a pause or a limit, see ``limits``; '' takes it away. The value that it had before, '' for none."""
        return str(self._scripts.run("control", [self._keys.controls, self._keys.gates], [field, value]))

    def purge(self, queue: str, priority: int) -> tuple[int, int]:
        """Cancel what is next in a ready list, some hundred: how many that were, and how many ids are left there."""
        keys = [self._keys.priority(queue, priority), self._keys.gates]
        cancelled, left = self._scripts.run("purge", keys, [self._result_ttl, PROMOTE_BATCH])
        return cancelled, left

    def move(self, queue: str, priority: int, target: str) -> tuple[int, int]:
        """Put what is next in a ready list into that of another queue, some hundred: how many that were, and how many
        ids are left."""
        keys = [self._keys.priority(queue, priority), self._keys.gates]
        moved, left = self._scripts.run("move", keys, [target, PROMOTE_BATCH])
        return moved, left

    def turn(self, rooms: Sequence[str], *, look: bool = False) -> list[str]:
        """Of some hundred rooms of tenants, make ready the next task of those that have none in line. These rooms;
        ``look``: nothing is changed."""
        return list(self._scripts.run("turn", [self._keys.gates], [int(look), *rooms]))

    def cancel(self, task_ids: Sequence[str], *, interrupt: bool = False) -> list[Status | None]:
        """End tasks, some hundred at most: what waits never begins, what runs is told. For each its state now, which is
        another than CANCELLED where it was over before, and None where there is no such task.

        With ``interrupt`` an exception is raised in the threads of those that run.
        """
        keys = [self._keys.delayed, self._keys.workers]
        answers = self._scripts.run("cancel", keys, [self._result_ttl, int(interrupt), *task_ids])
        return [_STATES.get(answer) for answer in answers]

    def settle(self, worker: str, settlements: Sequence[Settlement]) -> list[Kept]:
        """Record how deliveries ended."""
        return _kept(self._scripts.run(*self._settle(worker, settlements)))

    def exchange(
        self, worker: str, settlements: Sequence[Settlement], claim: Callable[[], Claim]
    ) -> tuple[list[Kept], Claimed]:
        """``settle`` and ``claim`` in one round trip. Where it fails, either may have been done, or both.

        The claim is made when the outcomes are on their way, so that who waits for one hears of it earlier. Many go out
        together with the claim, as a second write would cost more than that is worth to them.
        """

        def parts() -> Iterator[Part]:
            yield self._settle(worker, settlements)[1:]
            yield self._claim(claim())[1:]

        kept, claimed = self._scripts.run_all(("settle", "claim"), parts(), apart=len(settlements) <= _FEW)
        return _kept(kept), _claimed(claimed)

    def _settle(self, worker: str, settlements: Sequence[Settlement]) -> Call:
        args: list[object] = [self._result_ttl]
        for one in settlements:
            args += (one.id, one.token, one.status.value, one.body, one.delay)
        keys = [self._keys.dead_letter, self._keys.claimed(worker)]
        return "settle", keys, args

    def progress(self, task_id: str, token: str, members: str) -> Kept:
        """Store and publish progress, a JSON object without its braces."""
        answer = self._scripts.run("progress", [self._keys.task(task_id)], [task_id, token, members])
        return None if answer < 0 else bool(answer)

    def release(self, worker: str, held: Iterable[tuple[str, str]]) -> list[Kept]:
        """Give (id, token) pairs back to the head of their queues. False also where it was settled before."""
        args = [part for pair in held for part in pair]
        return _kept(self._scripts.run("release", [self._keys.claimed(worker)], args))

    def pass_on(self, worker: str, task_id: str, token: str, error: str) -> Status | None:
        """Leave a task to another worker that knows its name; with none, it fails with ``error`` (JSON).

        The state it is in now, None where the lease was lost.
        """
        keys = [self._keys.workers, self._keys.claimed(worker), self._keys.dead_letter, self._keys.task(task_id)]
        state = self._scripts.run("pass_on", keys, [worker, task_id, token, error])
        return Status(state) if state else None

    def recover(
        self, worker: str, begun: Iterable[str] = (), *, expired: bool = False, cause: str = "was lost"
    ) -> Recovery:
        """Make ready again all that a worker held which is gone, and forget the worker unless some of it is stuck.

        ``begun`` are the ids whose run had begun, for which a crash is counted; ``ALL`` where nobody knows which.
        ``expired``: only if the worker's lease is over, and a crash for all. ``cause`` completes "its process …".
        """
        parts = (self._keys.worker, self._keys.claimed, self._keys.claims, self._keys.wake)
        keys = [self._keys.workers, self._keys.dead_letter, *(part(worker) for part in parts)]
        args: list[object] = [worker, "expired" if expired else "ended"]
        args += [MOST_CRASHES, MOST_SOLO_CRASHES, MOST_CRASHES_IN_ALL]
        args += [codec.encode(cause)[1:-1], *((ALL,) if expired else begun)]
        return Recovery(*self._scripts.run("recover", keys, args))

    def revive(self, task_ids: Sequence[str], nonce: str) -> list[bool]:
        """Dead letters back into their queues. False where an id is not a dead letter. The nonce names the request."""
        answers = self._scripts.run("revive", [self._keys.dead_letter], [nonce, *task_ids])
        return [bool(answer) for answer in answers]

    def revive_part(self, walk: Walk, look: int, most: int, nonce: str, only: Iterable[str] = ()) -> Step:
        """``revive`` for the next part of a walk through the dead letters: looks at up to ``look`` ids, until it has
        found ``most`` letters that are meant; of these ids ``only``, if there are any."""
        keys = [self._keys.dead_letter, self._keys.forgotten(nonce)]
        return _step(walk, self._scripts.run("revive", keys, [nonce, *_part(walk, look, most), *only]))

    def forget(self, task_id: str, states: Iterable[Status], nonce: str) -> Status | None:
        """``forget_many`` for one task."""
        [state] = self.forget_many([task_id], states, nonce)
        return state

    def forget_many(self, task_ids: Sequence[str], states: Iterable[Status], nonce: str) -> list[Status | None]:
        """Delete tasks that are in one of ``states``, some hundred at most. For each the state it was in, None when
        there is no such task.

        One that was cancelled counts as RUNNING until its run is over. The nonce names the request: repeated under it,
        a deletion is answered as the first time.
        """
        keys = [self._keys.dead_letter, self._keys.forgotten(nonce)]
        answers = self._scripts.run("forget", keys, [" ".join(status.value for status in states), *task_ids])
        return [_STATES.get(answer) for answer in answers]

    def forget_part(self, walk: Walk, look: int, most: int, nonce: str, only: Iterable[str] = ()) -> Step:
        """``forget`` for the next part of a walk through the dead letters, as ``revive_part``."""
        keys = [self._keys.dead_letter, self._keys.forgotten(nonce)]
        return _step(walk, self._scripts.run("forget", keys, ["PART", *_part(walk, look, most), *only]))

    def beat(
        self, workers: Mapping[str, str], lease: float, queue_settings: Mapping[str, str] = NOTHING
    ) -> dict[str, bool]:
        """Register workers, or renew their leases for ``lease`` seconds. id → whether it was registered before.

        ``queue_settings`` is what their code says of queues, see ``QueueSettings.text``; their info names each as
        'queue/<name> <text>' under ``settings``.
        """
        args: list[object] = [lease]
        for worker, info in workers.items():
            args += (worker, info)
        args += chain.from_iterable(queue_settings.items())
        answers = self._scripts.run("beat", [self._keys.workers, *map(self._keys.worker, workers)], args)
        return {worker: bool(answer) for worker, answer in zip(workers, answers, strict=True)}

    def wake(self, worker: str, threads: int) -> None:
        """End the waiting of as many idle threads of a worker, which is given nothing from now on."""
        self._scripts.run("wake", [self._keys.wake(worker), self._keys.claims(worker)], [threads])

    def repair(self, task_id: str, others: Mapping[str, str]) -> list[str]:
        """Put one task where its state says and nowhere else, and tell in words what was done.

        ``others`` are further ready lists and claimed hashes that may hold the id: key → what it is called.
        """
        keys = [self._keys.task(task_id), self._keys.delayed, self._keys.dead_letter, self._keys.workers, *others]
        return list(self._scripts.run("repair", keys, [task_id, self._result_ttl, *others.values()]))


def _part(walk: Walk, look: int, most: int) -> list[object]:
    return [walk.behind, walk.newest, look, most, *walk.asked_for()]


def _step(walk: Walk, answer: Sequence[Any]) -> Step:
    """Where a walk stands after a part. It never looks at more than was there when it began, but for what it has to
    look at once more."""
    done, looked, behind, front, ids, newest = answer
    again = walk.behind - (behind - looked + done)
    rest = replace(walk, left=min(walk.left + again - looked, front), behind=behind, newest=newest)
    return Step(done, looked, rest, tuple(ids.split(",")) if ids else ())


def _states(answer: str) -> list[Answer]:
    return [_STATES.get(word) or _accepted(word) for word in answer.split(" ")]


def _accepted(word: str) -> Accepted | None:
    if word == "OTHER":
        raise IdempotencyKeyReused
    if word == "TAKEN":
        return None
    how, status, task_id = word.split("=")
    return Accepted(task_id, _STATES.get(status), duplicate=how != "AGAIN", replayed=how != "SAME")


def _kept(answers: Sequence[str]) -> list[Kept]:
    return [None if answer == "cancelled" else answer == "ok" for answer in answers]


def _claimed(answer: Sequence[Any]) -> Claimed:
    if answer[0] != "ok":
        return Claimed(leased=answer[0] != "unregistered")
    now = float(answer[2])
    return Claimed(tuple([_delivery(row, now) for row in answer[4:]]), tuple(answer[1]), passed=answer[3])


def _delivery(row: Sequence[str], now: float) -> Delivery:
    task_id, token, name, args, kwargs, queue, retry_count, max_retries, since, options = row
    waited = max(0.0, now - float(since))
    return Delivery(task_id, token, name, args, kwargs, queue, int(retry_count), int(max_retries), waited, options)
