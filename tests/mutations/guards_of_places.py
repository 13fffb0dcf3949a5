"""Guards in the scripts that ask, before the first write, whether a task can go where it is to go."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_FOREIGN = "store/test_foreign_keys.py"

GUARDS_OF_PLACES = (
    Mutation(
        "enqueue does not look at the keys of its tasks",
        "the script ends between its writes, and what stands before in the batch is in no place",
        f"{_LUA}/enqueue.lua",
        "  if there == false then return foreign(KEYS[i]) end\n",
        "",
        (f"{_FOREIGN}::test_a_submission_whose_key_another_program_has_taken_refuses_its_batch_whole",),
    ),
    Mutation(
        "promote does not look where a task goes",
        "a batch is in no place because one of its queues is overwritten",
        f"{_LUA}/promote.lua",
        "if is_delayed and no_line(task.queue, task.lane) then",
        "if false then",
        (f"{_FOREIGN}::test_due_tasks_of_an_overwritten_queue_stay_and_the_others_go_on",),
    ),
    Mutation(
        "what can't be promoted keeps its time",
        "it stands in the way of all that is due later, and upkeep never rests",
        f"{_LUA}/promote.lua",
        "for _, id in ipairs(stuck) do redis.call('ZADD', KEYS[1], stamp(at + PAUSE), id) end\n",
        "",
        (f"{_FOREIGN}::test_more_stuck_tasks_than_a_batch_are_in_nobodys_way",),
    ),
    Mutation(
        "promote takes whatever stands in the delayed set",
        "a batch is in no place because of a foreign hash",
        f"{_LUA}/promote.lua",
        "local task = whole(id, 'lane')\n",
        "local found = fields(id, 'status', 'queue')\n  local task = found and {status = found[1], queue = found[2]}\n",
        (f"{_FOREIGN}::test_a_foreign_hash_in_the_delayed_set_harms_no_other_task",),
    ),
    Mutation(
        "recover does not look where a task goes",
        "the tasks of a lost worker are in no place",
        f"{_LUA}/recover.lua",
        "if one and (one.is_over and no_dead_letter() or not one.is_over and no_line(one.queue, one.lane)) then",
        "if false then",
        (f"{_FOREIGN}::test_what_a_lost_worker_held_stays_with_it_until_its_queue_is_ours_again",),
    ),
    Mutation(
        "settle does not look where a failed task goes",
        "it is FAILED and in no place, and a repeat says that all is well",
        f"{_LUA}/settle.lua",
        "ARGV[base + 2] == 'FAILED' and no_dead_letter() or",
        "",
        (f"{_FOREIGN}::test_an_outcome_that_has_no_place_to_go_is_refused_whole",),
    ),
    Mutation(
        "settle does not look where a retry goes",
        "it is RETRYING and in no place",
        f"{_LUA}/settle.lua",
        " or ARGV[base + 2] == 'RETRYING' and no_delayed()",
        "",
        (f"{_FOREIGN}::test_an_outcome_that_has_no_place_to_go_is_refused_whole",),
    ),
    Mutation(
        "release does not look where a task goes",
        "what a worker gives back is in no place",
        f"{_LUA}/release.lua",
        "    if obstacle then return foreign(obstacle) end\n",
        "",
        (f"{_FOREIGN}::test_a_hand_back_into_an_overwritten_queue_is_refused_whole",),
    ),
    Mutation(
        "pass_on does not look where a task goes",
        "a task that nobody knows is in no place",
        f"{_LUA}/pass_on.lua",
        "if obstacle then return foreign(obstacle) end\n",
        "",
        (f"{_FOREIGN}::test_what_can_be_passed_on_to_no_place_stays",),
    ),
    Mutation(
        "revive does not look where a task goes",
        "a dead letter is in no place",
        f"{_LUA}/revive.lua",
        "    if obstacle then return foreign(obstacle) end\n",
        "",
        (f"{_FOREIGN}::test_a_dead_letter_is_not_revived_into_an_overwritten_queue",),
    ),
    Mutation(
        "claim does not look at the hash of what is claimed",
        "tasks are taken out of their queue and given to nobody",
        f"{_LUA}/claim.lua",
        "if not is_ours(claimed, 'hash') then return foreign(claimed) end\n",
        "",
        (f"{_FOREIGN}::test_a_claim_that_could_not_be_noted_takes_nothing",),
    ),
    Mutation(
        "claim rings whatever the bell is",
        "tasks are taken out of their queue and given to nobody",
        f"{_LUA}/claim.lua",
        " and is_ours(KEYS[i + 1], 'list')",
        "",
        (f"{_FOREIGN}::test_a_claim_goes_on_without_a_bell",),
    ),
)
