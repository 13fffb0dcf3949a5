"""Guards of fairness: tenants take turns, and none is forgotten."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_FAIR = "store/test_fairness.py"

GUARDS_OF_FAIRNESS = (
    Mutation(
        "a tenant has as many tasks in line as it submits",
        "one tenant's flood delays all others",
        f"{_LUA}/prelude.lua",
        "  if not turn.has_front and not turn.is_lost then\n",
        "  if true then\n",
        (f"{_FAIR}::test_one_tenants_flood_delays_anothers_ten_by_no_more_than_a_round_each",),
    ),
    Mutation(
        "the next one of a tenant comes to the head of the list",
        "it is that tenant's turn again and again",
        f"{_LUA}/prelude.lua",
        "    redis.call('LPUSH', ready, id)\n",
        "    redis.call('RPUSH', ready, id)\n",
        (f"{_FAIR}::test_tenants_take_turns_and_each_ones_tasks_keep_their_order",),
    ),
    Mutation(
        "nobody follows one that is cancelled in line",
        "all other tasks of the tenant wait for ever",
        f"{_LUA}/prelude.lua",
        "      give_turn(one[1], one[2].pass, at)\n",
        "",
        (f"{_FAIR}::test_behind_a_cancelled_one_the_next_of_its_tenant_comes_to_the_tail",),
    ),
    Mutation(
        "nobody follows one that a claim takes",
        "all other tasks of the tenant wait for ever",
        f"{_LUA}/claim.lua",
        "        round.leave(id, turn, room ~= nil)\n",
        "        if room then round.leave(id, room, true) end\n",
        (f"{_FAIR}::test_tenants_take_turns_and_each_ones_tasks_keep_their_order",),
    ),
    Mutation(
        "whoever leaves with a turn brings up the next one",
        "a tenant that was given a second place in line keeps it as long as it has tasks",
        f"{_LUA}/prelude.lua",
        "redis.call('HGET', key.room(name), 'out') == id and 0\n",
        "0\n",
        (f"{_FAIR}::test_a_second_one_in_line_takes_no_second_turn",),
    ),
    Mutation(
        "a submission does not look whether its tenant has one in line",
        "a tenant whose task in line was deleted waits for ever",
        f"{_LUA}/prelude.lua",
        "    return give_turn(nil, name, at)\n",
        "    return\n",
        (f"{_FAIR}::test_the_next_submission_heals_a_tenant_whose_one_in_line_is_lost",),
    ),
    Mutation(
        "a claim throws away a lost one without a look whose it was",
        "all other tasks of the tenant wait for ever",
        f"{_LUA}/claim.lua",
        "          round.miss(lost)\n",
        "",
        (f"{_FAIR}::test_a_claim_that_comes_to_a_lost_one_puts_the_next_of_its_tenant_in_line",),
    ),
    Mutation(
        "with ageing a list is as old as its next task, also where tenants take turns",
        "whoever waits behind a younger one of another tenant waits without a bound",
        f"{_LUA}/prelude.lua",
        "  if since then redis.pcall('ZADD', key.elders(priority .. ':' .. queue), since, id) end\n",
        "",
        (
            f"{_FAIR}::test_with_ageing_what_waits_for_its_turn_grows_older_too",
            f"{_FAIR}::test_with_ageing_the_last_of_a_tenant_counts_since_it_came_though_its_room_is_empty",
        ),
    ),
    Mutation(
        "with ageing who has left a list still makes it older",
        "a list is served before all others for one that is not there",
        f"{_LUA}/prelude.lua",
        "  if ending and ending ~= string.gsub(task[5] or '', TURN, '%1:%2') then return nil end\n",
        "",
        (f"{_FAIR}::test_with_ageing_who_has_left_the_line_makes_it_no_older",),
    ),
    Mutation(
        "who leaves a list is still noted as one who had waited for its turn",
        "what is kept of a queue without ageing grows for ever",
        f"{_LUA}/prelude.lua",
        "    if id and not is_ahead then forget(id, name) end\n",
        "",
        (f"{_FAIR}::test_who_leaves_a_list_leaves_no_note_that_it_was_older_than_others_there",),
    ),
    Mutation(
        "a claim counts as waiting only what is in line",
        "the short tasks of one tenant are fetched one by one",
        f"{_LUA}/claim.lua",
        "          most = most_of(queue, before, length + backlog)\n",
        "",
        (f"{_FAIR}::test_a_claim_of_several_gets_them_although_only_one_is_in_line",),
    ),
    Mutation(
        "what leaves a tenant's room is still counted",
        "the length of a queue is too high",
        f"{_LUA}/prelude.lua",
        "    if is_turn(task.room) then note_turns(task.room) end\n",
        "",
        (f"{_FAIR}::test_one_that_is_cancelled_in_its_room_just_leaves",),
    ),
    Mutation(
        "a purge takes only what is in line",
        "a tenant's backlog takes as many calls as it has tasks",
        f"{_LUA}/prelude.lua",
        "  while is_whole and #found < most and round.ahead() do",
        "  while false do",
        (f"{_FAIR}::test_a_step_of_an_operator_is_bounded_and_leaves_the_next_one_in_line",),
    ),
    Mutation(
        "who waits for a turn is not rung for",
        "idle threads are woken one after the other",
        f"{_LUA}/prelude.lua",
        "  found.behind = (found.behind or 0) + 1\n",
        "",
        (f"{_FAIR}::test_every_thread_is_woken_for_a_batch_of_one_tenant",),
    ),
)
