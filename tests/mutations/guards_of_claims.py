"""Guards in the scripts that decide whose word counts: tokens and claims."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_TRANSITIONS = "store/test_transitions.py"
_BATCHES = "store/test_batches.py"
_ZOMBIES = "faults/test_zombies.py::test_of_more_than_two_hundred_late_writes_none_is_accepted"
_PROMOTION = "faults/test_zombies.py::test_the_old_master_and_the_promoted_one_give_out_tokens_of_the_same_number"
_FULL = "api/test_redis_away.py::test_a_full_redis_still_hands_out_and_takes_back_what_it_has"

_TOKENS = (
    Mutation(
        "settle does not look at the token",
        "a worker taken for dead ends the run of another",
        f"{_LUA}/settle.lua",
        "elseif task and task[1] == 'RUNNING' and task[2] == token then",
        "elseif task and task[1] == 'RUNNING' then",
        (_ZOMBIES,),
    ),
    Mutation(
        "settle does not look at the state",
        "a worker taken for dead ends a task that waits to be run again, and it stays in its queue",
        f"{_LUA}/settle.lua",
        "elseif task and task[1] == 'RUNNING' and task[2] == token then",
        "elseif task and task[2] == token then",
        (_ZOMBIES,),
    ),
    Mutation(
        "settle writes before it looks",
        "a refused outcome takes the task out of the hands of its worker",
        f"{_LUA}/settle.lua",
        "  local task = fields(id, 'status', 'token', 'settled', 'retry_count')",
        "  redis.call('HDEL', claimed, id)\n  local task = fields(id, 'status', 'token', 'settled', 'retry_count')",
        (_ZOMBIES,),
    ),
    Mutation(
        "settle does not know an outcome again",
        "an outcome repeated after a lost answer is taken for a zombie's, and reported as lost",
        f"{_LUA}/settle.lua",
        "if task and (task[3] == token or seen[id] == token) then",
        "if task and seen[id] == token then",
        (f"{_TRANSITIONS}::test_an_outcome_sent_twice_is_recorded_once",),
    ),
    Mutation(
        "settle takes two outcomes of one batch",
        "a task is recorded twice",
        f"{_LUA}/settle.lua",
        "if task and (task[3] == token or seen[id] == token) then",
        "if task and task[3] == token then",
        (f"{_TRANSITIONS}::test_two_outcomes_of_one_delivery_in_one_batch_are_recorded_once",),
    ),
    Mutation(
        "progress does not look at the token",
        "a worker taken for dead reports on the run of another",
        f"{_LUA}/progress.lua",
        "or task[1] ~= 'RUNNING' or task[2] ~= token then",
        "or task[1] ~= 'RUNNING' then",
        (_ZOMBIES,),
    ),
    Mutation(
        "progress is taken after the outcome",
        "watchers hear of progress after the end",
        f"{_LUA}/progress.lua",
        "or task[1] ~= 'RUNNING' or task[2] ~= token then",
        "or task[2] ~= token then",
        (f"{_TRANSITIONS}::test_progress_after_the_outcome_is_refused",),
    ),
    Mutation(
        "release does not look at the token",
        "a worker taken for dead makes ready what another one runs",
        f"{_LUA}/release.lua",
        "elseif task and task[1] == 'RUNNING' and task[2] == token then",
        "elseif task and task[1] == 'RUNNING' then",
        (_ZOMBIES,),
    ),
    Mutation(
        "release does not know a hand-back again",
        "a hand-back repeated after a lost answer is reported as lost",
        f"{_LUA}/release.lua",
        "if task and task[4] == token then",
        "if task and false then",
        (f"{_TRANSITIONS}::test_a_release_sent_twice_gives_back_once",),
    ),
    Mutation(
        "pass_on does not look at the token",
        "a worker taken for dead makes a dead letter of what another one runs",
        f"{_LUA}/pass_on.lua",
        "if not task or task.status ~= 'RUNNING' or task.token ~= token then return '' end",
        "if not task or task.status ~= 'RUNNING' then return '' end",
        (_ZOMBIES,),
    ),
    Mutation(
        "a token is the number of deliveries alone",
        "after the promotion of a lagging replica two deliveries have the same token",
        f"{_LUA}/claim.lua",
        "local token = string.format('%d.%s', deliveries, nonce)",
        "local token = string.format('%d.', deliveries)",
        (_PROMOTION,),
    ),
    Mutation(
        "recover does not look at the state",
        "a finished task is run again",
        f"{_LUA}/recover.lua",
        "task and task.status == 'RUNNING' and task.token == token and fate(id, task)",
        "task and task.token == token and fate(id, task)",
        (f"{_TRANSITIONS}::test_a_recovery_leaves_alone_what_the_worker_no_longer_runs",),
    ),
    Mutation(
        "recover does not look at the token",
        "a task is taken away from the worker that has it now",
        f"{_LUA}/recover.lua",
        "task and task.status == 'RUNNING' and task.token == token and fate(id, task)",
        "task and task.status == 'RUNNING' and fate(id, task)",
        (f"{_TRANSITIONS}::test_a_recovery_leaves_alone_what_the_worker_no_longer_runs",),
    ),
)

_CLAIMS = (
    Mutation(
        "a claim repeated after a lost answer is not known again",
        "what the lost answer gave is run by nobody before the lease is over",
        f"{_LUA}/claim.lua",
        "if number == last then",
        "if false then",
        (f"{_TRANSITIONS}::test_a_claim_repeated_after_a_lost_answer_gives_the_same_tasks",),
    ),
    Mutation(
        "a copy of a claim that comes late is answered",
        "it takes tasks that nobody runs",
        f"{_LUA}/claim.lua",
        "if number < last then return {'stale'} end",
        "",
        (f"{_TRANSITIONS}::test_a_claim_that_arrives_after_a_later_one_takes_nothing",),
    ),
    Mutation(
        "a claim refused for want of a lease is not remembered",
        "its copy takes tasks that nobody runs",
        f"{_LUA}/claim.lua",
        "  pass_full_memory(workers)\n  redis.call('HSET', claims, thread, number)\n",
        "  pass_full_memory(workers)\n",
        (f"{_TRANSITIONS}::test_a_copy_of_a_claim_that_was_refused_takes_nothing",),
    ),
    Mutation(
        "claim does not look whether the lease is over",
        "a worker that is being recovered takes more",
        f"{_LUA}/claim.lua",
        "if not lease_end or tonumber(lease_end) <= at then",
        "if not lease_end then",
        (f"{_TRANSITIONS}::test_a_worker_whose_lease_is_over_can_claim_nothing",),
    ),
    Mutation(
        "the numbers of claims go with their worker",
        "a copy of a claim that comes after the recovery takes tasks that nobody runs",
        f"{_LUA}/recover.lua",
        "  redis.call('EXPIRE', claims, CLAIMS_KEPT)",
        "  redis.call('DEL', claims)",
        (_ZOMBIES,),
    ),
    Mutation(
        "claim takes the last one first",
        "the oldest task waits for ever under load",
        f"{_LUA}/claim.lua",
        "for j = #ids, 1, -1 do",
        "for j = 1, #ids do",
        (f"{_TRANSITIONS}::test_tasks_are_claimed_in_the_order_of_submission",),
    ),
    Mutation(
        "claim leaves an id behind in the ready list",
        "the task is in two places",
        f"{_LUA}/claim.lua",
        "redis.call('LTRIM', KEYS[i], 0, -(popped[i] + 1))",
        "redis.call('LTRIM', KEYS[i], 0, -popped[i])",
        (f"{_TRANSITIONS}::test_tasks_are_claimed_in_the_order_of_submission",),
    ),
    Mutation(
        "claim takes whatever stands in a queue",
        "what a foreign hand put there stops the threads",
        f"{_LUA}/prelude.lua",
        "not value and i < COUNTED or value and",
        "value and",
        (f"{_TRANSITIONS}::test_a_task_that_a_foreign_hand_wrote_in_part_is_dropped_before_anything_is_changed",),
    ),
    Mutation(
        "claim takes tasks in any state",
        "what runs or is finished is run once more because its id stands in a queue",
        f"{_LUA}/claim.lua",
        "local is_waiting = task and task.status == 'PENDING'\n",
        "local is_waiting = task\n",
        (f"{_TRANSITIONS}::test_an_id_that_stands_in_a_queue_though_its_task_is_finished_is_dropped",),
    ),
)

_BATCHES_OF_CLAIMS = (
    Mutation(
        "claim takes short tasks behind a long one",
        "they wait behind it while threads elsewhere are idle",
        f"{_LUA}/claim.lua",
        "  spent = together\n",
        "  spent = costs[task.name] and together or spent\n",
        (f"{_BATCHES}::test_behind_a_task_of_unknown_length_nothing_is_taken",),
    ),
    Mutation(
        "claim takes long tasks behind short ones",
        "they wait behind them while threads elsewhere are idle",
        f"{_LUA}/claim.lua",
        "spent + (costs[task.name] or UNKNOWN)",
        "spent + (costs[task.name] or 0)",
        (f"{_BATCHES}::test_a_task_of_unknown_length_ends_the_batch_and_is_the_next_one",),
    ),
    Mutation(
        "claim takes more than the budget",
        "the last of a batch waits for longer than was said",
        f"{_LUA}/claim.lua",
        "if #taken > 0 and together > budget then return false end",
        "if #taken > 0 and together == UNKNOWN then return false end",
        (f"{_BATCHES}::test_what_is_taken_together_fits_into_the_budget",),
    ),
    Mutation(
        "claim passes over what does not fit",
        "the oldest task waits for ever while short ones come",
        f"{_LUA}/claim.lua",
        "      if is_full then break end\n",
        "      if is_full then is_full, is_waiting = false, false end\n",
        (f"{_BATCHES}::test_a_task_of_unknown_length_ends_the_batch_and_is_the_next_one",),
    ),
    Mutation(
        "claim goes on in the next queue after a batch has ended",
        "a task of a lower queue is run before one of a higher queue",
        f"{_LUA}/claim.lua",
        "  local ready, offset = KEYS[i], 0\n",
        "  local ready, offset = KEYS[i], 0\n  is_full = false\n",
        (f"{_BATCHES}::test_a_task_that_ends_the_batch_ends_it_for_all_queues",),
    ),
    Mutation(
        "claim leaves nothing to others",
        "one thread works off what all could",
        f"{_LUA}/claim.lua",
        "#taken + math.max(1, math.ceil(length / share))",
        "#taken + length",
        (f"{_BATCHES}::test_a_claim_leaves_the_other_threads_their_share",),
    ),
)

GUARDS_OF_CLAIMS = (*_TOKENS, *_CLAIMS, *_BATCHES_OF_CLAIMS)
