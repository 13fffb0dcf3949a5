"""Guards of a parent: whom it blames for a stuck child, and that one failure of its own does not spread."""

from .mutation import Mutation

_GUARD = "unit/test_guard.py"
_PARENT = "unit/test_parent.py"
_WORKER = "minicelery/worker"

GUARDS_OF_PARENTS = (
    Mutation(
        "somebody is always to blame for a stuck child",
        "in a stopped process healthy tasks are failed for limits that they could not keep",
        f"{_WORKER}/guard.py",
        "found and len(begun) > 1 and busy[found.native] < _BUSY",
        "found and False and busy[found.native] < _BUSY",
        (f"{_GUARD}::test_in_a_process_that_is_stopped_nobody_is_to_blame_more_than_another",),
    ),
    Mutation(
        "whose limit is over first is to blame for a stuck child",
        "who only waits for Python's lock is failed in place of who holds it",
        f"{_WORKER}/guard.py",
        "found = max(begun, key=lambda held: busy[held.native], default=None)",
        "found = min(begun, key=lambda held: held.deadline, default=None)",
        (f"{_GUARD}::test_only_the_run_that_holds_the_lock_is_ended_for_its_limit",),
    ),
    Mutation(
        "a parent takes its own standstill for its child's",
        "a machine that was suspended kills what runs on it",
        f"{_WORKER}/guard.py",
        "            self._awake_since = now",
        "            pass",
        (f"{_GUARD}::test_a_parent_that_stood_still_itself_gives_its_child_time",),
    ),
    Mutation(
        "something runs beside a task that is given up in quarantine",
        "an innocent task is blamed for the crash of the one that hangs",
        f"{_WORKER}/pool.py",
        "most = 0 if self._bench.quarantine else MOST_GIVEN_UP",
        "most = MOST_GIVEN_UP",
        ("unit/test_pool.py::test_in_quarantine_nothing_takes_the_place_of_what_hangs",),
    ),
    Mutation(
        "a child that can't be started ends its parent",
        "a machine without descriptors left kills what still runs",
        f"{_WORKER}/parent.py",
        "except (OSError, RuntimeError) as error",
        "except ZeroDivisionError as error",
        (f"{_PARENT}::test_a_child_that_can_not_be_started_is_tried_again_later",),
    ),
    Mutation(
        "a worker at work refuses a wrong server",
        "a failover to it ends every worker at night",
        "minicelery/server.py",
        "        if is_first and found.refusals:",
        "        if found.refusals:",
        (f"{_PARENT}::test_a_wrong_server_met_later_is_only_complained_of",),
    ),
    Mutation(
        "one foreign key stops all of the upkeep",
        "while the delayed set is overwritten nobody recovers the tasks of the dead",
        "minicelery/upkeep.py",
        "        except ForeignData as error:",
        "        except ZeroDivisionError as error:",
        ("faults/test_lost_workers.py::test_a_delayed_set_that_another_program_has_taken_stops_no_recovery",),
    ),
)
