"""Tasks over HTTP: sent one by one, read, and sent many a call, to the web process of each queue."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException

from minicelery.embedded import HOST

from .. import contenders
from ..figures import share
from ..helper import Helper
from ..load import Answers, Wish, be_load
from ..scenario import Column, Figures, Scenario
from ..trial import Failed, Trial, cpu_of, tree_of

CONNECTIONS = 8
SECONDS, QUICK = 2.0, 0.2
WARMING = 0.1  #: of that time
PATIENCE = 30.0
CALL = '{"name": "noop", "args": []}'
#: Tasks in a call of the batch; fewer where a call sends them one by one, as those would take ten seconds.
MANY, FEWER, QUICK_MANY = 10_000, 1_000, 100
NAMES = ("minicelery", "celery")


class Web:
    """The web process of a trial, and the clients that it has."""

    def __init__(self, trial: Trial, process: subprocess.Popen[bytes], load: Helper) -> None:
        self._trial = trial
        self._process = process
        self._load = load

    def ask(self, wish: Wish, seconds: float = 0.0) -> Answers:
        """The answers to as many requests as the time allows; without time, to one on each connection."""
        answers: Answers = self._load.ask(("make", (wish, seconds)))
        return answers

    def measure(self, wish: Wish, tasks: int = 1) -> tuple[Answers, Figures]:
        """The answers, and what they tell when each is about so many tasks. The first ones, of a while, do not count.

        ``Failed`` if Redis has not as many tasks more as the answers to a POST say.
        """
        seconds = QUICK if self._trial.quick else SECONDS
        self.ask(wish, WARMING * seconds)
        tree, waiting = tree_of(self._process), self._trial.waiting()
        before = cpu_of(tree)
        answers = self.ask(wish, seconds)
        cpu = cpu_of(tree) - before
        more, sent = self._trial.waiting() - waiting, answers.count * tasks if wish.method == "POST" else 0
        if more != sent:
            raise Failed(f"{more} tasks wait where {sent} were sent")
        return answers, figures_of(answers, tasks, cpu)


def figures_of(answers: Answers, tasks: int, cpu: float) -> Figures:
    """Of requests about so many tasks each, for which the web process took so many seconds of processor time."""
    return {
        "rate": answers.count * tasks / answers.seconds,
        "p50": 1000 * share(answers.times, 0.5),
        "p99": 1000 * share(answers.times, 0.99),
        "cpu": 1e6 * cpu / (answers.count * tasks),
        "own": 100 * answers.own / answers.seconds,
        "tasks": tasks,
    }


def post(trial: Trial) -> Figures:
    """A task a request."""
    with web(trial) as served:
        answers, figures = served.measure(Wish("POST", "/tasks", CALL, CONNECTIONS))
    if answers.different != answers.count:
        raise Failed(f"{answers.count} answers name {answers.different} tasks")
    return figures


def get(trial: Trial) -> Figures:
    """A task that is done, by workers of the same queue."""
    with web(trial) as served:
        task_id = json.loads(served.ask(Wish("POST", "/tasks", CALL)).body)["task_id"]
        path = f"/tasks/{task_id}"
        workers = next(one for one in contenders.ALL if one.module == trial.contender.module)
        with closing(Trial(workers, trial.stage, trial.python, quick=trial.quick)) as other, other.workers():
            other.until(lambda: b'"SUCCESS"' in served.ask(Wish("GET", path)).body, PATIENCE, "a task")
        answers, figures = served.measure(Wish("GET", path, "", CONNECTIONS))
    if answers.different != 1 or json.loads(answers.body)["result"] != 1:
        raise Failed(f"{answers.different} answers about one task, such as {answers.body!r:.300}")
    return figures


def batch(trial: Trial) -> Figures:
    """Many tasks a request, one request after the other."""
    tasks = QUICK_MANY if trial.quick else MANY if trial.contender.bulk else FEWER
    with web(trial) as served:
        body = f'{{"tasks": [{", ".join([CALL] * tasks)}]}}'
        answers, figures = served.measure(Wish("POST", "/tasks/batch", body), tasks)
    if len(set(json.loads(answers.body)["task_ids"])) != tasks:
        raise Failed(f"an answer does not name {tasks} tasks: {answers.body!r:.300}")
    return figures


@contextmanager
def web(trial: Trial) -> Iterator[Web]:
    """The contender's web process, which answers, and a process of clients beside it."""
    with trial.workers() as [process], Helper(be_load, trial.port) as load:
        trial.until(lambda: _answers(trial.port), PATIENCE, "the start of the web process")
        yield Web(trial, process, load)


def _answers(port: int) -> bool:
    with closing(HTTPConnection(HOST, port, timeout=1)) as connection:
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        except (OSError, HTTPException):
            return False
    return True


def _columns(rate: str, each: str, *more: Column) -> tuple[Column, ...]:
    return (
        Column("rate", rate, more_is_better=True),
        Column("p50", "p50, ms"),
        Column("p99", "p99, ms"),
        Column("cpu", f"µs of the web process {each}"),
        *more,
    )


_REQUESTS = _columns("requests a second", "a request")
_BATCH = _columns("tasks a second", "a task", Column("tasks", "tasks a request"))

SCENARIOS = (
    Scenario("web-post", "HTTP: a task a request", _REQUESTS, post, one_setting=True, names=NAMES),
    Scenario("web-get", "HTTP: the result of a task", _REQUESTS, get, one_setting=True, names=NAMES),
    Scenario("web-batch", "HTTP: many tasks a request", _BATCH, batch, one_setting=True, names=NAMES),
)
