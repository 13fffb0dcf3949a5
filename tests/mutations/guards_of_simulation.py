"""Guards of the simulation for users' tests: that all lives by its clock, and that it leaves no trace."""

from .mutation import Mutation

_SIMULATION = "unit/test_simulation.py"
_ACCIDENTS = "unit/test_accidents.py"

GUARDS_OF_SIMULATION = (
    Mutation(
        "what a simulation keeps for a while lives by the machine's clock",
        "results, throttles and the like never end in a simulation",
        "minicelery/memory.py",
        "    def time(self) -> float:\n        return self._memory.clock.now()\n",
        "    def time(self) -> float:\n        import time\n\n        return time.time()\n",
        (f"{_SIMULATION}::test_what_redis_keeps_for_a_while_ends_by_the_clock",),
    ),
    Mutation(
        "an app is as before only if nothing was raised in its simulation",
        "after one failed test all others go to a memory that nobody looks at",
        "minicelery/simulation.py",
        "        yield\n    finally:\n        for name in names:\n",
        "        yield\n    except ZeroDivisionError:\n        raise\n    else:\n        for name in names:\n",
        (f"{_SIMULATION}::test_the_app_is_as_before_if_something_was_raised",),
    ),
    Mutation(
        "an app may be configured while it is simulated",
        "the rest of the test goes to the real Redis",
        "minicelery/memory.py",
        "        raise SimulationError(\"an app can't be configured while it is simulated; ",
        '        return super().close()\n        print("',
        (f"{_SIMULATION}::test_an_app_is_not_configured_while_it_is_simulated",),
    ),
    Mutation(
        "the clock of a simulation passes by the renewals of locks",
        "a lock that is held is lost as soon as time passes",
        "minicelery/clock.py",
        "            self._ms = max(self._ms, _whole(due))\n",
        "            self._ms = max(self._ms, target)\n",
        (f"{_SIMULATION}::test_a_lock_that_is_held_is_renewed_while_time_passes",),
    ),
    Mutation(
        "a renewal in a simulation is due by the last digit of a float",
        "a test that holds a lock hangs for ever, as its clock stands at a renewal that is not due",
        "minicelery/lock_keeper.py",
        "if due_at(when) <= now])",
        "if when <= now])",
        (f"{_SIMULATION}::test_a_lock_is_renewed_whether_or_not_a_third_of_its_time_is_exact",),
    ),
    Mutation(
        "what is due in a simulation is due by the last digit of a float",
        "time stands for ever at the moment at which a run that is open is looked after",
        "minicelery/simulation.py",
        "{key: due_at(moment) for key",
        "{key: moment for key",
        (f"{_SIMULATION}::test_time_passes_by_a_run_that_stays_open_although_half_of_its_keeping_is_not_exact",),
    ),
    Mutation(
        "the end of a time that passes in a simulation goes by the last digit of a float",
        "what is due just then does not run",
        "minicelery/simulation.py",
        "target = due_at(moment_of(span) if isinstance(span, datetime) else now + seconds_of(span))",
        "target = moment_of(span) if isinstance(span, datetime) else now + seconds_of(span)",
        (f"{_SIMULATION}::test_what_is_due_when_time_has_passed_in_parts_runs_in_the_last_of_them",),
    ),
    Mutation(
        "what never went wrong is not told",
        "a test that kills no worker shows that nothing is lost when one dies",
        "minicelery/simulation.py",
        "        if self._worker.accidents or left:\n",
        "        if self._worker.accidents and left:\n",
        (f"{_ACCIDENTS}::test_what_never_went_wrong_is_told_at_the_end",),
    ),
    Mutation(
        "the outcome of a simulated run is recorded before its worker dies",
        "users' tests show that a task need not bear a second run",
        "minicelery/simulated_worker.py",
        "        if outcome and not (accident and accident.lost):\n",
        "        if outcome:\n",
        (f"{_ACCIDENTS}::test_a_run_that_was_not_recorded_is_repeated",),
    ),
    Mutation(
        "a long wait for a lock is taken for one without an end",
        "a test of half an hour's patience is refused, with the advice to be patient for a time",
        "minicelery/simulated_waits.py",
        '        if self._looks > _MOST_LOOKS and left == float("inf"):\n',
        "        if self._looks > _MOST_LOOKS:\n",
        (f"{_SIMULATION}::test_a_wait_for_a_lock_ends_with_its_timeout",),
    ),
    Mutation(
        "an outcome is lost with the connection of a simulated worker",
        "its task stays RUNNING for ever, as the worker lives on",
        "minicelery/simulated_worker.py",
        "        return self.insist(lambda: self._app.broker.settle(worker, ended))\n",
        "        return self._app.broker.settle(worker, ended)\n",
        (f"{_ACCIDENTS}::test_a_worker_bears_a_longer_outage_than_its_patience",),
    ),
    Mutation(
        "what the web layer keeps for an app outlasts a simulation of it",
        "a simulation sees the outage of the one before it",
        "minicelery/web/lasting.py",
        "        return made if world is app.world and clients is app.clients else None\n",
        "        return made\n",
        (f"{_ACCIDENTS}::test_what_was_asked_over_http_keeps_no_simulation_that_is_over",),
    ),
)
