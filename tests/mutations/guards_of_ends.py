"""Guards of cancelling, expiry and priorities."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_CANCELLING = "store/test_cancelling.py"
_EXPIRY = "store/test_expiry.py"
_PRIORITIES = "store/test_priorities.py"

GUARDS_OF_ENDS = (
    Mutation(
        "what is cancelled and still runs can be forgotten",
        "its id may be used again while a run of it goes on",
        f"{_LUA}/forget.lua",
        "if task and task[4] then status = 'RUNNING' end",
        "",
        (f"{_CANCELLING}::test_what_is_still_in_the_hands_of_its_worker_is_not_forgotten",),
    ),
    Mutation(
        "an index of another program breaks off a script",
        "an outcome is recorded in part, and the rest of its batch is lost",
        f"{_LUA}/prelude.lua",
        "local function take_out(zset, id) redis.pcall(",
        "local function take_out(zset, id) redis.call(",
        (f"{_EXPIRY}::test_an_index_that_another_program_has_overwritten_keeps_no_end_from_being_recorded",),
    ),
    Mutation(
        "expire ends whatever stands among the expiring",
        "a task is never run that does not expire",
        f"{_LUA}/expire.lua",
        "if expires and is_waiting then over",
        "if is_waiting then over",
        (f"{_EXPIRY}::test_what_another_program_puts_among_the_expiring_ends_no_task",),
    ),
    Mutation(
        "what runs when it is too late to begin is looked at no more",
        "a retry of it waits for ever if nobody claims it",
        f"{_LUA}/expire.lua",
        "if expires and (status == 'RUNNING' or is_waiting and expires > at) then",
        "if expires and is_waiting and expires > at then",
        (f"{_EXPIRY}::test_what_is_too_late_for_a_retry_expires_then",),
    ),
    Mutation(
        "a repair leaves a cancelled task in the hands of nobody",
        "it can never be forgotten",
        f"{_LUA}/repair.lua",
        "if is_stray or task.state == 'CANCELLED' and not task.claimed then close_run(id, at) end\n",
        "",
        (f"{_CANCELLING}::test_what_a_worker_that_is_gone_left_cancelled_is_put_right_by_the_doctor",),
    ),
    Mutation(
        "a revived task has lost its priority",
        "it stands behind all others",
        f"{_LUA}/revive.lua",
        "  if lane then redis.call('HSET', key.task(id), 'lane', lane) end\n",
        "",
        (f"{_PRIORITIES}::test_what_was_in_quarantine_has_its_priority_again_once_it_is_revived",),
    ),
    Mutation(
        "a result is looked at that nobody wants",
        "a task fails by returning what it was told may be anything",
        "minicelery/executor.py",
        'return succeed("null" if is_ignored else codec.encode(value, "/result"))',
        'body = codec.encode(value, "/result")\n            return succeed("null" if is_ignored else body)',
        ("unit/test_ignored_results.py::test_what_is_returned_may_be_anything",),
    ),
    Mutation(
        "a child asks for nothing that it may have missed",
        "a task that was cancelled while its connection was cut never hears of it",
        "minicelery/worker/cancellations.py",
        "                    self._ask()\n",
        "                    pass\n",
        ("unit/test_cancellations.py::test_what_was_cancelled_before_it_listened_is_asked_for",),
    ),
)
