"""Guards of what is done once: keys of uniqueness, and requests that are sent again."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_STORE = "store/test_uniqueness.py"
_API = "api/test_idempotency.py"
_END = f"{_STORE}::test_the_end_of_a_task_frees_its_key"
_KEPT = f"{_STORE}::test_a_task_that_runs_or_is_to_be_run_again_keeps_its_key"
_START = f"{_STORE}::test_until_start_a_key_is_free_when_a_worker_has_the_task"

_KEYS = (
    Mutation(
        "whoever ends frees the key, whose it may be",
        "a task whose hold was over lets a third one run beside the second",
        f"{_LUA}/prelude.lua",
        "if redis.pcall('GET', where) == id then redis.call('DEL', where) end",
        "redis.call('DEL', where)",
        (f"{_STORE}::test_a_task_gives_up_no_key_that_another_one_has_by_now",),
    ),
    Mutation(
        "an outcome frees no key",
        "no second task runs until the hold is over",
        f"{_LUA}/settle.lua",
        "  if state == 'SUCCESS' or state == 'FAILED' then end_unique(id) end\n",
        "",
        (_END,),
    ),
    Mutation(
        "a retry frees the key",
        "two tasks run under one key",
        f"{_LUA}/settle.lua",
        "if state == 'SUCCESS' or state == 'FAILED' then",
        "if true then",
        (_KEPT,),
    ),
    Mutation(
        "every claim frees the key",
        "two tasks run under one key",
        f"{_LUA}/claim.lua",
        "if task.unique and string.find(task.unique, '^start ') then",
        "if task.unique then",
        (_KEPT,),
    ),
    Mutation(
        "a claim frees no key",
        "what is unique until it starts is so until it ends",
        f"{_LUA}/claim.lua",
        "if task.unique and string.find(task.unique, '^start ') then",
        "if false then",
        (_START,),
    ),
    Mutation(
        "what ends before it has run keeps its key",
        "no second task runs until the hold is over",
        f"{_LUA}/prelude.lua",
        "  end_unique(id)\n  emit(",
        "  emit(",
        (_END, f"{_STORE}::test_a_task_that_expires_frees_its_key"),
    ),
    Mutation(
        "what was cancelled in its run keeps its key",
        "no second task runs until the hold is over",
        f"{_LUA}/prelude.lua",
        "    redis.call('HDEL', key.task(id), 'keep')\n    end_unique(id)\n",
        "    redis.call('HDEL', key.task(id), 'keep')\n",
        (_END,),
    ),
    Mutation(
        "a crash that makes a dead letter frees no key",
        "no second task runs until the hold is over",
        f"{_LUA}/recover.lua",
        "  end_unique(one.id)\n",
        "",
        (_END,),
    ),
    Mutation(
        "a task that nobody knows keeps its key",
        "no second task runs until the hold is over",
        f"{_LUA}/pass_on.lua",
        "end_unique(id)\n",
        "",
        (_END,),
    ),
    Mutation(
        "in one batch a key is given twice",
        "two tasks run under one key",
        f"{_LUA}/enqueue.lua",
        "  if held[more.where] then return held[more.where] end\n",
        "",
        (f"{_STORE}::test_of_a_batch_the_first_one_gets_the_key",),
    ),
    Mutation(
        "a key is held by whatever stands there",
        "after a foreign hand has deleted a task no other one runs until the hold is over",
        f"{_LUA}/prelude.lua",
        "  return not is_over or task.status == 'CANCELLED' and task.keep\n",
        "  return true\n",
        (f"{_STORE}::test_a_key_whose_task_is_gone_is_given_to_the_next",),
    ),
    Mutation(
        "a cancelled run has no key any more",
        "a second task runs beside the rest of a cancelled run",
        f"{_LUA}/prelude.lua",
        "  return not is_over or task.status == 'CANCELLED' and task.keep\n",
        "  return not is_over\n",
        (f"{_STORE}::test_a_cancelled_task_has_its_key_until_its_run_is_over",),
    ),
    Mutation(
        "a duplicate writes nothing",
        "a server that has become a replica tells of a task that the new master may lack",
        f"{_LUA}/enqueue.lua",
        "if #fresh == 0 and #changed == 0 and (there_before or known_by) then",
        "if #fresh == 0 and #changed == 0 and there_before then",
        (f"{_STORE}::test_only_a_server_that_takes_writes_tells_of_a_duplicate",),
    ),
)

_DEBOUNCE = (
    Mutation(
        "a debounced task keeps the tenant and the limit of an earlier call",
        "it waits for another tenant's turn, and for what its arguments have no part in",
        f"{_LUA}/enqueue.lua",
        "      redis.call('HDEL', key.task(task.id), field)\n",
        "",
        (
            "store/test_uniqueness.py::test_the_limit_and_the_tenant_of_a_debounced_task_go_where_the_last_call_has_none",
        ),
    ),
    Mutation(
        "a call is joined to a task that a worker has had",
        "arguments change between two deliveries of one task",
        f"{_LUA}/prelude.lua",
        "task.status == 'SCHEDULED' and not task.token and task.latest",
        "task.status == 'SCHEDULED' and task.latest",
        (f"{_STORE}::test_what_waits_no_more_for_a_quiet_time_is_changed_by_no_call",),
    ),
    Mutation(
        "a call that was joined is not known again",
        "an answer that got lost brings old arguments back, or a second run",
        f"{_LUA}/enqueue.lua",
        "  if before then\n    before.is_repeat = true\n",
        "  if false then\n    before.is_repeat = true\n",
        (
            f"{_STORE}::test_a_call_that_was_joined_and_comes_again_late_changes_nothing",
            f"{_STORE}::test_a_call_that_was_joined_and_comes_again_after_the_run_is_not_run_again",
        ),
    ),
    Mutation(
        "the first call is not known again once others were joined to it",
        "its caller is told that the id is taken",
        f"{_LUA}/enqueue.lua",
        " or there[6] and there[6] == more.call)",
        ")",
        (f"{_STORE}::test_the_first_call_sent_again_is_known_whatever_was_joined_to_it",),
    ),
    Mutation(
        "the limits of a debounced task are those of its first call",
        "another one's limit holds for what is run",
        f"{_LUA}/enqueue.lua",
        "      redis.call('HSET', key.task(task.id), field, task[field])\n",
        "",
        (f"{_STORE}::test_the_limit_of_a_debounced_task_is_that_of_the_last_arguments",),
    ),
    Mutation(
        "a debounced task is put off for ever",
        "calls that do not stop keep it from running",
        f"{_LUA}/enqueue.lua",
        "math.min(at + more.hold / 1000, holder.latest)",
        "at + more.hold / 1000",
        (f"{_STORE}::test_a_debounced_task_is_not_put_off_for_ever",),
    ),
)

_REQUESTS = (
    Mutation(
        "an idempotency key is good for any request",
        "the second request is told that the first one's task is its own",
        f"{_LUA}/enqueue.lua",
        "  if before[1] and before[1] ~= request then return 'OTHER' end\n",
        "",
        (
            f"{_API}::test_another_body_under_the_same_key_is_refused",
            f"{_API}::test_parts_of_a_batch_that_come_in_any_order_belong_to_one_request",
        ),
    ),
    Mutation(
        "a request that was answered is done again",
        "a client that repeats it after a lost answer has two tasks",
        f"{_LUA}/enqueue.lua",
        "  if before[2] then\n",
        "  if false then\n",
        (f"{_API}::test_a_repeated_request_gets_the_first_answer_and_says_so",),
    ),
    Mutation(
        "a request that was refused has used its key",
        "it can't be sent again once its id is free",
        f"{_LUA}/enqueue.lua",
        "  if is_any then\n",
        "  if true then\n",
        (f"{_API}::test_a_taken_id_has_used_no_key",),
    ),
)

GUARDS_OF_UNIQUENESS = (*_KEYS, *_DEBOUNCE, *_REQUESTS)
