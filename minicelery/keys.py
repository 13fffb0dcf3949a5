"""The Redis schema: every key and channel, spelled in this module only, for Python and for Lua."""

import re
from collections.abc import Container
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """One row of the schema. ``{}`` in the template stands for the name or id that the key belongs to."""

    name: str
    template: str
    type: str
    purpose: str


# The first four rows are public: other programs rely on them, so they never change.
SCHEMA = (
    Pattern("queue", "queue:{}", "list", "ready task ids of a queue; LPUSH in, taken from the right"),
    Pattern("task", "task:{}", "hash", "one task: what to do, its state, its result or error"),
    Pattern("events", "task:{}:events", "channel", 'JSON events {"event", "data"} of one task'),
    Pattern("dead_letter", "queue:dead_letter", "list", "ids of tasks that failed for good, newest first"),
    Pattern(
        "forgotten",
        "forgotten:{}",
        "string",
        "what a deletion, or a part of a walk through the dead letters, found, kept a minute: its answer may get lost",
    ),
    Pattern("priority", "priority:{}", "list", "as queue:<name>, for another priority: priority:<0..9>:<queue>"),
    Pattern(
        "priorities", "priorities:{}", "zset", "priorities of a queue that tasks may wait in, but for the normal one"
    ),
    Pattern("bell", "bell:{}", "list", "doorbell of a queue, capped: idle threads BRPOP here, never on ids"),
    Pattern("quarantine", "quarantine:{}", "list", "as queue:<name>, for tasks that have crashed their process"),
    Pattern("quarantine_bell", "quarantine_bell:{}", "list", "doorbell of a queue's quarantine"),
    Pattern("delayed", "delayed", "zset", "ids of SCHEDULED and RETRYING tasks; score: due, epoch seconds"),
    Pattern("alarm", "delayed:alarm", "channel", "the time at which something is now due next, such as a delayed task"),
    Pattern(
        "expiring", "expiring", "zset", "ids of tasks that may not begin after some time; score: that, epoch seconds"
    ),
    Pattern("controls", "controls", "hash", "what operators have set: pauses and limits of queues and of task names"),
    Pattern(
        "queue_settings", "queue_settings", "hash", "what the code of live workers says of queues: queue → runs:ageing"
    ),
    Pattern("gates", "gates", "zset", "gates at which tasks wait; score: when to look at it, epoch seconds"),
    Pattern("looked", "gates:looked", "string", "when the gates were last looked at, epoch seconds; kept a minute"),
    Pattern("gate", "gate:{}", "hash", "one limit: when the next task may pass"),
    Pattern("slots", "slots:{}", "zset", "ids of the tasks that hold a slot of a gate; score: since when"),
    Pattern("rooms", "rooms:{}", "zset", "the rooms that wait at a gate; score: since when"),
    Pattern(
        "room",
        "room:{}",
        "hash",
        "those who wait for the same gates, or of one tenant: seq, out (the last one put forward); of gates: since when"
        " that one is, others put forward that may not be taken yet (`beside`, `along`), up to which place it was"
        " looked through for other lists (`sought`), the round, and of each tenant that has tasks there its last place"
        " and how many, by priority",
    ),
    Pattern("waiting", "waiting:{}", "zset", "ids of the WAITING tasks of a room; score: their order"),
    Pattern(
        "tenants",
        "tenants:{}",
        "zset",
        "tenants of a list, <0..9>:<queue>; score: how many of its tasks wait for their turn",
    ),
    Pattern(
        "elders",
        "elders:{}",
        "zset",
        "ids in line in a list, <0..9>:<queue>, that had waited for their tenant's turn; score: since when",
    ),
    Pattern(
        "tag", "tag:{}", "zset", "ids of the tasks with a tag that are unfinished or dead letters; score: since when"
    ),
    Pattern("unique", "unique:{}", "string", "id of the task that holds a key until it starts or ends: <name>:<hash>"),
    Pattern("throttle", "throttle:{}", "string", "id of the task that a key was given to in this period"),
    Pattern("debounce", "debounce:{}", "string", "id of the task that waits for a quiet time under a key"),
    Pattern("debounced", "debounced:{}", "string", "id of the task that a submission was joined to, kept a minute"),
    Pattern(
        "idempotency",
        "idempotency:{}",
        "hash",
        "what was asked under an Idempotency-Key, and what was answered to each part of it",
    ),
    Pattern("schedules", "schedules", "zset", "names of all schedules; score: next due, epoch seconds, or inf"),
    Pattern("schedule", "schedule:{}", "hash", "one schedule: when, what to do, its last run"),
    Pattern("open_runs", "schedules:open", "zset", "names of schedules whose last run had not ended; score: looked at"),
    Pattern("workers", "workers", "zset", "ids of live workers; score: end of lease, epoch seconds"),
    Pattern(
        "worker",
        "worker:{}",
        "string",
        "JSON of a live worker: host, pid, queues, threads, tasks, schedules, settings, machine, processes, quarantine",
    ),
    Pattern("wake", "worker:{}:wake", "list", "doorbell of one worker, rung when its threads are to stop waiting"),
    Pattern("claimed", "worker:{}:claimed", "hash", "what a worker has claimed: task id → delivery token"),
    Pattern("orders", "worker:{}:orders", "channel", "what a worker is to do about a task that runs there"),
    Pattern("claims", "worker:{}:claims", "hash", "thread → number of its last claim; stopped: no more"),
    Pattern("lock", "lock:{}", "zset", "requests that hold a lock or semaphore; score: until when, epoch seconds"),
    Pattern(
        "lock_facts", "lock_facts:{}", "hash", "of a lock: fence, its last token; and each request that holds or waits"
    ),
    Pattern(
        "lock_line", "lock_line:{}", "zset", "requests that wait for a lock; score: a number, in the order they came"
    ),
    Pattern("lock_bell", "lock_bell:{}", "list", "doorbell of one request that waits for a lock, rung when it is next"),
    Pattern("lock_over", "lock_over:{}", "string", "what giving back or breaking a lock has found, kept a minute"),
)

#: Seconds for which the numbers of claims outlive their worker: a claim that is on its way for longer is lost anyway.
CLAIMS_KEPT = 3600
#: The priority of the ready list ``queue:<name>``; 9 is the first, 0 the last.
NORMAL_PRIORITY, HIGHEST_PRIORITY = 5, 9
RESERVED_QUEUES = frozenset({"dead_letter"})


class Keys:
    """Spells the keys of one namespace. An empty namespace gives exactly the templates of ``SCHEMA``."""

    def __init__(self, namespace: str = "") -> None:
        self.prefix = f"{namespace}:" if namespace else ""
        self.dead_letter = self._spell("dead_letter")
        self.delayed = self._spell("delayed")
        self.alarm = self._spell("alarm")
        self.expiring = self._spell("expiring")
        self.controls = self._spell("controls")
        self.queue_settings = self._spell("queue_settings")
        self.gates = self._spell("gates")
        self.schedules = self._spell("schedules")
        self.open_runs = self._spell("open_runs")
        self.workers = self._spell("workers")

    def queue(self, name: str) -> str:
        return self._spell("queue", name)

    def task(self, task_id: str) -> str:
        return self._spell("task", task_id)

    def events(self, task_id: str) -> str:
        return self._spell("events", task_id)

    def forgotten(self, nonce: str) -> str:
        return self._spell("forgotten", nonce)

    def priority(self, queue: str, priority: int) -> str:
        """The ready list of a queue for tasks of one priority."""
        return self.queue(queue) if priority == NORMAL_PRIORITY else self._spell("priority", f"{priority}:{queue}")

    def priority_list(self, ending: str) -> str:
        """As ``priority``, from '<priority>:<queue>'."""
        return self._spell("priority", ending)

    def priorities(self, queue: str) -> str:
        return self._spell("priorities", queue)

    def waiting(self, room: str) -> str:
        return self._spell("waiting", room)

    def room(self, room: str) -> str:
        return self._spell("room", room)

    def tenants(self, queue: str, priority: int) -> str:
        """The tenants whose tasks wait for their turn in a queue, with one priority."""
        return self._spell("tenants", f"{priority}:{queue}")

    def elders(self, queue: str, priority: int) -> str:
        """Those in line in a queue, with one priority, that had waited for their tenant's turn before."""
        return self._spell("elders", f"{priority}:{queue}")

    def gate(self, gate: str) -> str:
        return self._spell("gate", gate)

    def slots(self, gate: str) -> str:
        return self._spell("slots", gate)

    def tag(self, tag: str) -> str:
        return self._spell("tag", tag)

    def unique(self, ending: str) -> str:
        """The key that a task holds, from '<task name>:<hash>'."""
        return self._spell("unique", ending)

    def schedule(self, name: str) -> str:
        return self._spell("schedule", name)

    def orders(self, worker_id: str) -> str:
        return self._spell("orders", worker_id)

    def bell(self, queue: str) -> str:
        return self._spell("bell", queue)

    def quarantine(self, name: str) -> str:
        return self._spell("quarantine", name)

    def quarantine_bell(self, queue: str) -> str:
        return self._spell("quarantine_bell", queue)

    def worker(self, worker_id: str) -> str:
        return self._spell("worker", worker_id)

    def wake(self, worker_id: str) -> str:
        return self._spell("wake", worker_id)

    def claimed(self, worker_id: str) -> str:
        return self._spell("claimed", worker_id)

    def claims(self, worker_id: str) -> str:
        return self._spell("claims", worker_id)

    def lock(self, name: str) -> str:
        return self._spell("lock", name)

    def lock_facts(self, name: str) -> str:
        return self._spell("lock_facts", name)

    def lock_line(self, name: str) -> str:
        return self._spell("lock_line", name)

    def lock_bell(self, nonce: str) -> str:
        return self._spell("lock_bell", nonce)

    def lock_over(self, nonce: str) -> str:
        return self._spell("lock_over", nonce)

    def read(self, key: str) -> tuple[str, str] | None:
        """The name of the pattern that a key follows, and what stands in its braces; None for no key of ours."""
        rest = key.removeprefix(self.prefix)
        for name, rule in _RULES:
            if key.startswith(self.prefix) and (found := rule.fullmatch(rest)):
                return name, "".join(found.groups())
        return None

    def _spell(self, name: str, part: str = "") -> str:
        return self.prefix + _TEMPLATES[name].replace("{}", part)


_TEMPLATES = {pattern.name: pattern.template for pattern in SCHEMA}
# The longest first: a key that follows two patterns belongs to the one that says more.
_RULES = [
    (pattern.name, re.compile(re.escape(pattern.template).replace(r"\{\}", "(.*)"), re.DOTALL))
    for pattern in sorted(SCHEMA, key=lambda pattern: -len(pattern.template))
    if pattern.type != "channel"
]


def lua_names(used: Container[str]) -> str:
    """Lua source that spells the same keys: ``key.task(id)``, given a local ``prefix``; and how long some live.

    It has those whose names are ``used``.
    """
    # One table, written at once: a table that grows entry by entry would cost each call of a script a microsecond more.
    lines = [f"local CLAIMS_KEPT, NORMAL_PRIORITY = {CLAIMS_KEPT}, {NORMAL_PRIORITY}", "local key = {"]
    for pattern in SCHEMA:
        if pattern.name not in used:
            continue
        before, _, after = pattern.template.partition("{}")
        part = " .. part" if "{}" in pattern.template else ""
        rest = f" .. '{after}'" if after else ""
        lines.append(f"  {pattern.name} = function(part) return prefix .. '{before}'{part}{rest} end,")
    return "\n".join([*lines, "}"])
