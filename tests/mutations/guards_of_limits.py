"""Guards of what ends a run: that it hits the run which it is for, and nothing else."""

from .mutation import Mutation

_INTERRUPT = "unit/test_interrupt.py"
_POOL = "unit/test_pool.py"
_LATE = f"{_INTERRUPT}::test_what_comes_when_the_function_has_just_returned_hits_nothing"
_REPORT = f"{_INTERRUPT}::test_a_report_is_not_interrupted_and_the_function_behind_it_is"

GUARDS_OF_LIMITS = (
    Mutation(
        "a run that has ended does not wait for what is on its way to it",
        "the worker's own code, or the next run, is interrupted instead",
        "minicelery/interrupt.py",
        "        self._wait(run)\n        self._told.discard(run)\n",
        "        self._told.discard(run)\n",
        (_LATE,),
    ),
    Mutation(
        "who interrupts a run does not say so before looking whether it is there",
        "a run that ends just then does not know that something is on its way",
        "minicelery/interrupt.py",
        "                self._told.add(run)\n",
        "",
        (_LATE,),
    ),
    Mutation(
        "what was sent to a run is not taken back at its end",
        "it hits whatever that thread does next",
        "minicelery/interrupt.py",
        "            if self._told:\n",
        "            if False:\n",
        (_LATE,),
    ),
    Mutation(
        "a report to Redis can be interrupted",
        "a connection is left with half an answer",
        "minicelery/interrupt.py",
        "        if self._inside.get(run) != thread:  #",
        "        if True:  #",
        (_REPORT,),
    ),
    Mutation(
        "who interrupts does not look again after noting what is to come behind a report",
        "a run whose report has just ended never hears of it",
        "minicelery/interrupt.py",
        "        return run in self._shielded or self._noted.pop(run, None) is None\n",
        "        return True\n",
        (f"{_INTERRUPT}::test_what_comes_when_a_report_has_just_ended_is_raised_once",),
    ),
    Mutation(
        "a run is told of its soft limit at each look",
        "a task that cleans up is interrupted again and again",
        "minicelery/worker/pool.py",
        "            if soft is None or soft.is_told:\n",
        "            if soft is None:\n",
        (f"{_POOL}::test_a_run_is_told_of_its_soft_limit_once",),
    ),
)
