"""Guards in the scripts that decide where a task goes: recovery, repeats, memory, bells."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_TRANSITIONS = "store/test_transitions.py"
_QUARANTINE = "store/test_quarantine.py"
_FOREIGN = "store/test_foreign_keys.py"
_FULL = "api/test_redis_away.py::test_a_full_redis_still_hands_out_and_takes_back_what_it_has"
_BEAT_WHEN_FULL = "api/test_redis_away.py::test_a_full_redis_refuses_submissions_and_still_lets_running_work_end"

_RECOVERY = (
    Mutation(
        "recover does not look whether the lease is over",
        "every look for lost workers takes away what the others run",
        f"{_LUA}/recover.lua",
        "if why == 'expired' and (not lease or lease > at) then",
        "if why == 'expired' and not lease then",
        (f"{_TRANSITIONS}::test_a_live_lease_is_not_taken_for_lost",),
    ),
    Mutation(
        "a worker in recovery may claim",
        "what could not be recovered yet is joined by more, and nobody looks for it",
        f"{_LUA}/recover.lua",
        "redis.call('ZADD', workers, stamp(math.min(lease or at, at)), worker)",
        "",
        (f"{_FOREIGN}::test_a_worker_whose_tasks_are_stuck_can_claim_nothing_more",),
    ),
    Mutation(
        "recovered tasks ring no bell",
        "idle workers notice them seconds later",
        f"{_LUA}/recover.lua",
        "\nring()\n",
        "\n",
        (f"{_TRANSITIONS}::test_whatever_becomes_ready_rings",),
    ),
    Mutation(
        "recovered tasks go to the end of the queue",
        "a task that was claimed first is run last",
        f"{_LUA}/recover.lua",
        "make_ready(one.id, one.queue, one.lane, 'RPUSH', at)",
        "make_ready(one.id, one.queue, one.lane, 'LPUSH', at)",
        (f"{_TRANSITIONS}::test_what_is_recovered_is_the_next_one",),
    ),
    Mutation(
        "a crash is counted for what had not begun",
        "neighbours of a crash end in quarantine",
        f"{_LUA}/recover.lua",
        "  if not begun[id] and not begun['*'] then return one end\n",
        "",
        (f"{_QUARANTINE}::test_what_had_not_begun_when_its_process_died_counts_no_crash",),
    ),
    Mutation(
        "no task goes into quarantine",
        "a task that crashes its process takes its neighbours along again and again",
        f"{_LUA}/recover.lua",
        "elseif one.crashes >= most_crashes then",
        "elseif false then",
        (f"{_QUARANTINE}::test_a_task_goes_into_quarantine_with_the_second_crash",),
    ),
    Mutation(
        "crashes beside others make a dead letter",
        "a healthy task is dead-lettered for the crashes of its neighbours",
        f"{_LUA}/recover.lua",
        "    one.lane = 'quarantine'\n",
        "    one.lane, one.alone, one.is_over = 'quarantine', 0, true\n",
        (f"{_QUARANTINE}::test_a_task_goes_into_quarantine_with_the_second_crash",),
    ),
    Mutation(
        "a task in quarantine crashes without limit",
        "it is run again for ever",
        f"{_LUA}/recover.lua",
        "one.is_over = one.alone >= most_alone or one.crashes >= most_in_all",
        "one.is_over = false",
        (f"{_QUARANTINE}::test_the_third_crash_alone_makes_a_dead_letter_that_says_what_killed_it",),
    ),
    Mutation(
        "losses of whole workers count as crashes alone",
        "a long task on machines that come and go is a dead letter",
        f"{_LUA}/recover.lua",
        "one.alone = alone + (begun[id] and 1 or 0)",
        "one.alone = alone + 1",
        (f"{_QUARANTINE}::test_losses_of_whole_workers_end_a_task_in_quarantine_only_after_many",),
    ),
    Mutation(
        "losses of whole workers are counted without limit",
        "a task that takes its whole machine down is run again for ever",
        f"{_LUA}/recover.lua",
        "one.alone >= most_alone or one.crashes >= most_in_all",
        "one.alone >= most_alone",
        (f"{_QUARANTINE}::test_losses_of_whole_workers_end_a_task_in_quarantine_only_after_many",),
    ),
    Mutation(
        "given-back tasks go to the end of the queue",
        "a deploy makes the oldest tasks wait for all others",
        f"{_LUA}/release.lua",
        "make_ready(id, queue, lane, 'RPUSH', at)",
        "make_ready(id, queue, lane, 'LPUSH', at)",
        (f"{_TRANSITIONS}::test_a_released_task_is_the_next_one_and_counts_no_failure",),
    ),
)

_REPEATS = (
    Mutation(
        "enqueue does not know a submission again",
        "a submission repeated after a lost answer is two tasks",
        f"{_LUA}/enqueue.lua",
        "  if not there then\n    local wait,",
        "  if not seen[id] then\n    local wait,",
        (f"{_TRANSITIONS}::test_a_submission_that_is_repeated_is_one_task",),
    ),
    Mutation(
        "promote does not look at the state",
        "a running task is made ready beside its run",
        f"{_LUA}/promote.lua",
        "local is_delayed = task and (task.status == 'SCHEDULED' or task.status == 'RETRYING')",
        "local is_delayed = task",
        (f"{_TRANSITIONS}::test_only_delayed_tasks_are_promoted_whoever_else_is_in_the_set",),
    ),
    Mutation(
        "revive does not know a request again",
        "a copy that comes late revives what has failed again since",
        f"{_LUA}/revive.lua",
        " and task[2] ~= nonce and not seen[id] and",
        " and not seen[id] and",
        (f"{_TRANSITIONS}::test_a_copy_of_a_revival_that_comes_after_another_failure_revives_nothing",),
    ),
    Mutation(
        "forget does not know a request again",
        "a copy that comes late deletes a new task of the same id",
        f"{_LUA}/forget.lua",
        "if before then return answers end",
        "",
        (f"{_TRANSITIONS}::test_a_copy_of_a_deletion_does_not_delete_a_new_task_of_the_same_id",),
    ),
    Mutation(
        "forget does not look at the state",
        "an accepted task is deleted before it has run",
        f"{_LUA}/forget.lua",
        "(part or string.find(states, ' ' .. status .. ' ', 1, true))",
        "true",
        (f"{_TRANSITIONS}::test_an_unfinished_task_is_not_forgotten",),
    ),
)

_KEEPING = (
    Mutation(
        "results are kept for ever",
        "Redis fills up",
        f"{_LUA}/settle.lua",
        "    redis.call('PEXPIRE', task, keep)\n",
        "",
        (f"{_TRANSITIONS}::test_success_is_recorded_with_its_result_and_a_time_to_live",),
    ),
    Mutation(
        "settle takes a wait that is no number",
        "the script ends between its writes, and the task is in no place",
        f"{_LUA}/settle.lua",
        "if ARGV[base + 2] == 'RETRYING' and not (",
        "if false and not (",
        (f"{_TRANSITIONS}::test_a_wait_that_is_no_number_changes_nothing",),
    ),
    Mutation(
        "settle begins with a write that a full Redis refuses",
        "no task can end any more, and so nothing gives memory back",
        f"{_LUA}/settle.lua",
        "call_with_all('HDEL', claimed, ids)\n",
        "redis.call('HSET', claimed, ids[1], 'any')\ncall_with_all('HDEL', claimed, ids)\n",
        (_FULL,),
    ),
    Mutation(
        "claim begins with a write that a full Redis refuses",
        "what is ready can't be worked off",
        f"{_LUA}/claim.lua",
        "if #KEYS < 4 then pass_full_memory(workers) end\n",
        "redis.call('HSET', claims, thread, number)\n",
        (_FULL,),
    ),
    Mutation(
        "recover begins with a write that a full Redis refuses",
        "what the dead held is stuck",
        f"{_LUA}/recover.lua",
        "\npass_full_memory(workers)\n",
        "\nredis.call('ZADD', workers, stamp(at), worker)\n",
        (_FULL,),
    ),
    Mutation(
        "beat begins with a write that a full Redis refuses",
        "all leases end while the workers are well",
        f"{_LUA}/beat.lua",
        "pass_full_memory(workers)\n",
        "",
        (_BEAT_WHEN_FULL,),
    ),
    Mutation(
        "a bell rings without limit for plain tasks",
        "a backlog fills the memory with rings",
        f"{_LUA}/enqueue.lua",
        "math.min(#ids, BELL_CAP - rings) do",
        "#ids do",
        (f"{_TRANSITIONS}::test_a_batch_rings_for_each_of_its_tasks_until_the_bell_is_full",),
    ),
    Mutation(
        "a bell rings without limit for single tasks",
        "a backlog fills the memory with rings",
        f"{_LUA}/enqueue.lua",
        "if rings < BELL_CAP then redis.call('LPUSH', bell, '1') end",
        "redis.call('LPUSH', bell, '1')",
        (f"{_TRANSITIONS}::test_the_bell_is_capped_for_tasks_that_come_one_by_one",),
    ),
    Mutation(
        "a bell rings without limit",
        "a backlog fills the memory with rings",
        f"{_LUA}/prelude.lua",
        "for i = 1, math.min(#ids + (ids.behind or 0), BELL_CAP - length(ids.bell)) do",
        "for i = 1, #ids do",
        (f"{_TRANSITIONS}::test_a_batch_rings_for_each_of_its_tasks_until_the_bell_is_full",),
    ),
    Mutation(
        "who was woken and leaves work behind does not ring",
        "a backlog longer than the bell's cap is worked off by few",
        f"{_LUA}/claim.lua",
        "elseif woken == '1' and is_ours(bell, 'list') and redis.call('LLEN', bell) == 0 then",
        "elseif false then",
        (f"{_TRANSITIONS}::test_a_thread_that_was_woken_and_leaves_work_behind_rings_for_the_next",),
    ),
    Mutation(
        "a wait may be negative",
        "a jump of Redis's clock shows nonsense",
        "minicelery/broker.py",
        "max(0.0, now - float(since))",
        "now - float(since)",
        ("faults/test_clocks.py::test_after_a_jump_back_a_running_task_stays_with_its_worker",),
    ),
)

GUARDS_OF_STATES = (*_RECOVERY, *_REPEATS, *_KEEPING)
