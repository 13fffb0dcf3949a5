"""Guards of ageing, and of what the code says of queues."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_AGEING = "store/test_ageing.py"
_MODEL = f"{_AGEING}::test_tasks_come_in_the_order_of_a_model_and_none_waits_beyond_its_bound"
_SETTINGS = "store/test_queue_settings.py"
_LIST = "    if queue.ageing and #lists > first then order_by_age(lists, first, queue.ageing, at) end\n"
_LAST = "    lists[#lists].is_last = true\n"

GUARDS_OF_QUEUES = (
    Mutation(
        "the lists of a queue with ageing are not put into order",
        "the lowest priority waits for as long as others come",
        f"{_LUA}/prelude.lua",
        _LIST,
        "",
        (_MODEL, f"{_AGEING}::test_with_ageing_nothing_passes_the_lowest_priority_that_comes_later_than_the_bound"),
    ),
    Mutation(
        "the last list of a queue is marked before they are put into order",
        "nobody is woken for what a claim leaves behind",
        f"{_LUA}/prelude.lua",
        _LIST + _LAST,
        _LAST + _LIST,
        (f"{_AGEING}::test_who_was_woken_and_leaves_a_younger_list_behind_rings_for_the_next",),
    ),
    Mutation(
        "what was given back waits anew",
        "who is given back again and again, and all behind it, may wait for ever",
        f"{_LUA}/prelude.lua",
        "string.match(task[4] or task[1], ",
        "string.match(redis.call('HGET', key.task(id), 'updated_at'), ",
        (
            f"{_AGEING}::test_what_is_given_back_has_not_to_wait_anew_nor_has_what_is_behind_it",
            f"{_AGEING}::test_what_a_limit_had_stopped_keeps_back_nobody_behind_it",
        ),
    ),
    Mutation(
        "what is due counts since it was made",
        "failures of the lowest priority, and what was put off for a day, go before all else",
        f"{_LUA}/promote.lua",
        "  if task[5] then redis.call('HSET', key.task(task[1]), 'since', stamp(at)) end\n",
        "",
        (
            f"{_AGEING}::test_what_comes_to_be_retried_waits_anew",
            f"{_AGEING}::test_what_comes_to_be_ready_late_counts_from_then_also_when_it_is_given_back",
        ),
    ),
    Mutation(
        "what a worker does not know and passes on waits anew",
        "what is passed on again and again waits without a bound",
        f"{_LUA}/promote.lua",
        "task.status == 'RETRYING' or task.token == '0.'",
        "true",
        (f"{_AGEING}::test_what_a_worker_passes_on_as_it_does_not_know_its_name_waits_no_time_anew",),
    ),
    Mutation(
        "what is over counts as the next task of a list",
        "a list with many cancelled tasks is served before all others",
        f"{_LUA}/prelude.lua",
        "  if not task or task[2] ~= 'PENDING' or (tonumber(task[3] or nil) or math.huge) <= at then return nil end\n",
        "  if not task then return nil end\n",
        (f"{_AGEING}::test_what_is_no_waiting_task_brings_its_list_no_nearer",),
    ),
    Mutation(
        "a list of another program is looked into first",
        "nothing of the queue is taken any more",
        f"{_LUA}/prelude.lua",
        "    if type(id) == 'table' then return math.huge end\n",
        "    if type(id) == 'table' then return -math.huge end\n",
        (f"{_AGEING}::test_a_list_that_another_program_has_overwritten_keeps_back_nothing_that_can_be_taken",),
    ),
    Mutation(
        "any number is an ageing",
        "what a foreign hand has written turns the order round",
        f"{_LUA}/prelude.lua",
        "    if ageing and ageing > 0 and ageing < 1e9 then queue",
        "    if ageing then queue",
        (f"{_AGEING}::test_an_ageing_that_is_none_is_none",),
    ),
    Mutation(
        "what the code says goes before what is set at run time",
        "a limit can't be changed without a new release",
        f"{_LUA}/prelude.lua",
        "tonumber(found[2] or slots)",
        "tonumber(slots or found[2])",
        (f"{_SETTINGS}::test_what_is_set_at_run_time_goes_before_it_and_taken_away_lets_it_hold_again",),
    ),
    Mutation(
        "what was replaced comes back at once",
        "two releases turn a limit back and forth",
        f"{_LUA}/beat.lua",
        "(after and not was_replaced or not",
        "(after or not",
        (f"{_SETTINGS}::test_the_old_release_does_not_turn_it_back_while_a_worker_has_the_new_one",),
    ),
    Mutation(
        "what was replaced never comes back",
        "after a rollback the limit of the withdrawn release holds",
        f"{_LUA}/beat.lua",
        "not is_declared('queue/' .. queue, before, at)) then",
        "not after and not is_declared('queue/' .. queue, before, at)) then",
        (f"{_SETTINGS}::test_the_old_release_holds_again_when_no_worker_has_the_new_one",),
    ),
    Mutation(
        "who says nothing of a queue takes away what others say",
        "a limit does not hold beside workers of another application",
        f"{_LUA}/beat.lua",
        " or not is_declared('queue/' .. queue, before, at)) then",
        " or true) then",
        (f"{_SETTINGS}::test_what_one_release_says_no_more_holds_while_a_worker_of_the_other_lives",),
    ),
    Mutation(
        "what nobody says any more is kept",
        "a limit that was taken out of the code holds for ever",
        f"{_LUA}/beat.lua",
        "      redis.call('HDEL', settings, queue)\n",
        "",
        (f"{_SETTINGS}::test_what_no_live_worker_says_any_more_is_taken_away_and_wakes_who_waits",),
    ),
    Mutation(
        "a changed limit is told to nobody",
        "idle threads wait although more may run",
        f"{_LUA}/beat.lua",
        "    ring_all(queue)\n",
        "",
        (f"{_SETTINGS}::test_a_release_that_says_something_new_replaces_the_old_one_at_once_and_wakes_who_waits",),
    ),
    Mutation(
        "slots of a queue of which only the code says something are not looked at",
        "what a foreign hand has deleted holds a slot for ever",
        f"{_LUA}/admit.lua",
        "  for _, queue in ipairs(settings) do check_queue(queue) end\n",
        "",
        (f"{_SETTINGS}::test_a_slot_of_a_queue_whose_task_is_gone_is_given_back",),
    ),
    Mutation(
        "a key of another program breaks the registration off",
        "no worker can work",
        f"{_LUA}/beat.lua",
        "if there.err then return known end\n",
        "",
        (f"{_SETTINGS}::test_where_another_program_has_overwritten_it_workers_register_and_claim_all_the_same",),
    ),
    Mutation(
        "the registration tells nothing of queues",
        "what the code says of them holds nowhere",
        "minicelery/upkeep.py",
        "self._office.lease, self.queue_settings)",
        "self._office.lease)",
        ("unit/test_firing.py::test_what_the_code_says_of_queues_is_told_with_the_registration",),
    ),
)
