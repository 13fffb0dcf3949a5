"""Guards of ageing."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_AGEING = "store/test_ageing.py"
_MODEL = f"{_AGEING}::test_tasks_come_in_the_order_of_a_model_and_none_waits_beyond_its_bound"
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
        "tonumber(had_its_turn and task.created_at or task.updated_at)",
        "tonumber(task.updated_at)",
        (
            f"{_AGEING}::test_what_is_given_back_has_not_to_wait_anew_nor_has_what_is_behind_it",
            f"{_AGEING}::test_what_a_limit_had_stopped_keeps_back_nobody_behind_it",
        ),
    ),
    Mutation(
        "what is retried counts since it was made",
        "failures of the lowest priority go before all else",
        f"{_LUA}/prelude.lua",
        "task.pass or task.token ~= '0.' and task.token ~= task.settled",
        "task.pass or task.token ~= '0.'",
        (f"{_AGEING}::test_what_comes_to_be_retried_waits_anew",),
    ),
    Mutation(
        "what is over counts as the next task of a list",
        "a list with many cancelled tasks is served before all others",
        f"{_LUA}/prelude.lua",
        "    if task and task.status == 'PENDING' and not is_late then\n      local had",
        "    if task then\n      local had",
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
)
