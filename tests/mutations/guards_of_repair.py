"""Guards against foreign hands and user code: the doctor's repairs, and what keeps a worker thread alive."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_REPAIR = "store/test_repair.py"
_BROKEN = f"{_REPAIR}::test_what_a_foreign_hand_broke_is_put_right"
_NASTY = "real/test_nasty_tasks.py"

GUARDS_OF_REPAIR = (
    Mutation(
        "the doctor looks only once",
        "what moves while it looks is taken for broken",
        "minicelery/doctor.py",
        "elif survey.holders and violation == self._locate(subject, where):",
        "elif survey.holders:",
        (f"{_REPAIR}::test_what_changed_between_the_two_looks_is_left_alone",),
    ),
    Mutation(
        "repair believes the doctor and does not look by itself",
        "a repair sent twice makes a second entry",
        f"{_LUA}/repair.lua",
        "if is_home and (is_stray or place.times == 0) then",
        "if is_home then",
        (f"{_REPAIR}::test_a_repair_of_what_is_right_changes_nothing",),
    ),
    Mutation(
        "repair leaves a stray task RUNNING",
        "it stands in a queue, and every claim drops it",
        f"{_LUA}/repair.lua",
        "local is_stray = task.state == 'RUNNING' and not task.claimed",
        "local is_stray = false",
        (_BROKEN,),
    ),
    Mutation(
        "a claim under any token counts",
        "a task that its worker no longer has is never run again",
        f"{_LUA}/prelude.lua",
        " and redis.call('HGET', claimed, id) == task.token then",
        " and redis.call('HGET', claimed, id) then",
        (_BROKEN,),
    ),
    Mutation(
        "a claim of an unknown worker counts",
        "its task is never run again",
        f"{_LUA}/prelude.lua",
        " and redis.call('ZSCORE', workers, task.worker)\n",
        "\n",
        (_BROKEN,),
    ),
    Mutation(
        "a full Redis refuses repairs",
        "what is broken stays so until memory is free",
        f"{_LUA}/repair.lua",
        "pass_full_memory(KEYS[4])\n",
        "",
        (f"{_REPAIR}::test_a_full_redis_can_be_repaired",),
    ),
    Mutation(
        "repair ignores the lane",
        "a poisoned task comes out of quarantine",
        f"{_LUA}/prelude.lua",
        "local ready = line(task.queue, task.lane)",
        "local ready = line(task.queue)",
        (_BROKEN,),
    ),
    Mutation(
        "repair lets a result stay for ever",
        "Redis fills up",
        f"{_LUA}/repair.lua",
        "redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep * 1000))",
        "redis.call('PERSIST', KEYS[1])",
        (_BROKEN,),
    ),
    Mutation(
        "what is no number is taken for a task",
        "a thread asks for ever for an answer that it can't read",
        f"{_LUA}/prelude.lua",
        "(#value > LONGEST or not string.find(value, rule))",
        "#value > LONGEST",
        (f"{_REPAIR}::test_a_hash_that_is_no_whole_task_is_kept_out_of_the_way_and_reported",),
    ),
    Mutation(
        "a submission writes before it looks",
        "the task is stored, stands nowhere, and its caller is told that it failed",
        f"{_LUA}/enqueue.lua",
        "    if obstacle then return foreign(obstacle) end\n",
        "",
        (f"{_NASTY}::test_a_bell_that_another_program_has_overwritten_refuses_a_submission_whole",),
    ),
    Mutation(
        "a repair does not look for the bell",
        "it fails half-way",
        f"{_LUA}/repair.lua",
        "  if is_missing and home == 'ready' and no_line(task.queue, task.lane) then return {} end\n",
        "",
        ("store/test_foreign_keys.py::test_a_repair_waits_until_the_bell_is_ours_again",),
    ),
    Mutation(
        "a log that fails ends the thread",
        "one task that closes standard error costs a child each time",
        "minicelery/logs.py",
        "        with contextlib.suppress(Exception):\n",
        "        if True:\n",
        (f"{_NASTY}::test_whatever_a_task_leaves_behind_the_same_child_goes_on_and_stops_when_told",),
    ),
    Mutation(
        "a forked copy goes on as a worker",
        "two processes record and claim as one",
        "minicelery/executor.py",
        "            if os.getpid() != process:\n                os._exit(0)\n",
        "            pass\n",
        (f"{_NASTY}::test_what_a_task_does_to_its_process_ends_with_it",),
    ),
    Mutation(
        "whoever says that its lease is lost is believed",
        "its task stays RUNNING for good",
        "minicelery/executor.py",
        "return None if is_lost else self._judge(error, delivery, policy)",
        "return None",
        ("unit/test_executor.py::test_a_task_that_only_says_so_has_not_lost_its_lease",),
    ),
    Mutation(
        "an error that goes on is told every time",
        "the log fills the disk",
        "minicelery/trouble.py",
        "return self._told.setdefault(text, now) == now",
        "return True",
        ("unit/test_trouble.py::test_an_error_that_goes_on_is_news_once_a_minute",),
    ),
    Mutation(
        "an empty level is not counted",
        "a value passes in one shape and is refused in another",
        "minicelery/codec.py",
        "depth >= MAX_DEPTH and isinstance(node, (dict, list, tuple))",
        "depth > MAX_DEPTH",
        ("unit/test_codec.py::test_nesting_is_bounded",),
    ),
)
