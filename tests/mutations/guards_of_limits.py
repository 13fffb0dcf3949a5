"""Guards of what ends a run: that it hits the run which it is for, and nothing else."""

from .mutation import Mutation

_INTERRUPT = "unit/test_interrupt.py"
_POOL = "unit/test_pool.py"
_CELL, _CELLS = "unit/test_cell.py", "real/test_cells.py"
_WORKER = "minicelery/worker"
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
    Mutation(
        "a cell counts a soft limit from a later moment than its child",
        "the only signal comes too early for it, and the task is never told",
        f"{_WORKER}/cell.py",
        "        self._soft_at = _NEVER if soft_limit is None else self._now() + soft_limit\n"
        '        self._wire.send("begun")  #',
        '        self._wire.send("begun")\n'
        "        self._soft_at = _NEVER if soft_limit is None else self._now() + soft_limit  #",
        (f"{_CELL}::test_a_signal_counts_from_the_moment_on_at_which_the_limit_is_over_for_the_child",),
    ),
    Mutation(
        "a cell takes each signal for one of the present run",
        "a run is told of the limit of the one before",
        f"{_WORKER}/cell.py",
        "        if self._now() >= self._soft_at:\n",
        "        if True:\n",
        (f"{_CELL}::test_a_late_signal_for_an_earlier_run_counts_for_no_other",),
    ),
    Mutation(
        "a cell does not see to its signals before each run",
        "what one task has done to them ends the process of the next",
        f"{_WORKER}/cell.py",
        "        signal.signal(SOFT_LIMIT, self._meet_soft_limit)\n",
        "        if signal.getsignal(SOFT_LIMIT) is signal.SIG_IGN:\n"
        "            signal.signal(SOFT_LIMIT, self._meet_soft_limit)\n",
        (f"{_CELLS}::test_limits_are_kept_whatever_the_task_before_has_done_to_signals",),
    ),
    Mutation(
        "of a process that has ended what it has started is left in peace",
        "programs of a task that has overrun its limit go on",
        "minicelery/launch.py",
        "    if process.returncode is None:  #",
        "    if process.poll() is None:  #",
        (f"{_CELLS}::test_a_task_that_dies_of_being_asked_where_it_is_is_ended_whole",),
    ),
    Mutation(
        "a cell lets any thread ask",
        "what an earlier run has left mixes its answers with those of the next",
        f"{_WORKER}/cell.py",
        "            if run != self._run:\n",
        "            if False:\n",
        (f"{_CELLS}::test_a_thread_that_an_earlier_run_has_left_can_report_nothing",),
    ),
    Mutation(
        "a task whose cell has ended before it began is blamed for that",
        "a process that dies at rest costs a task",
        f"{_WORKER}/isolation.py",
        "            except NotBegun:\n                continue\n",
        '            except NotBegun:\n                return TaskCrashed("")\n',
        ("unit/test_isolation.py::test_a_task_whose_cell_has_ended_before_it_began_runs_in_another_one",),
    ),
    Mutation(
        "a cell is kept though its run was left in the middle",
        "the next task gets the words of the one before",
        f"{_WORKER}/isolation.py",
        "            if is_over and warden.is_fit",
        "            if warden.is_fit",
        ("unit/test_isolation.py::test_a_cell_whose_run_was_left_by_a_fault_of_our_own_is_ended",),
    ),
    Mutation(
        "a cell is started by the thread that needs it",
        "the kernel ends it with that thread, in the middle of another one's task",
        f"{_WORKER}/isolation.py",
        "self._nursery.submit(Warden, self._block, self._world).result()",
        "Warden(self._block, self._world)",
        (f"{_CELLS}::test_a_cell_outlives_the_thread_that_needed_it_first",),
    ),
    Mutation(
        "what earlier tasks have left in a cell counts for the next one",
        "a task is ended for memory that it has never had",
        f"{_WORKER}/isolation.py",
        "    if most_mb is None:\n",
        "    if True:\n",
        (f"{_CELLS}::test_memory_that_earlier_tasks_have_left_is_not_charged_to_the_next",),
    ),
    Mutation(
        "a child keeps the limit of an isolated task itself",
        "its thread is given up for hanging, and the process goes on",
        "minicelery/executor.py",
        "        if task.is_isolated and self._isolate:\n            return None\n",
        "",
        ("unit/test_executor.py::test_an_isolated_task_is_handed_over_with_its_limits",),
    ),
)
