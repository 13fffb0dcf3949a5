"""Guards of retries and deletes by the thousand."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_BULK = "store/test_bulk.py"
_HIDES_NOTHING = f"{_BULK}::test_what_others_take_away_behind_a_walk_hides_nothing_from_it"

GUARDS_OF_BULK = (
    Mutation(
        "a walk does not look whether its place has moved",
        "letters are passed over when somebody else retries others at the same time",
        f"{_LUA}/prelude.lua",
        "if behind > 0 and redis.call('LINDEX', dead_letter, -behind) ~= newest then",
        "if false then",
        (_HIDES_NOTHING,),
    ),
    Mutation(
        "a walk whose place is gone goes on where it was",
        "letters are passed over when somebody else has retried the one at its place",
        f"{_LUA}/prelude.lua",
        "behind = place and size - place or 0",
        "behind = place and size - place or behind",
        (_HIDES_NOTHING,),
    ),
    Mutation(
        "a walk takes what is no dead letter",
        "a task that waits is deleted as its id stands in the list",
        f"{_LUA}/prelude.lua",
        "if not task or task[1] ~= 'FAILED' then return false end",
        "if not task then return false end",
        (f"{_BULK}::test_ids_that_are_no_dead_letters_stay_and_end_no_walk",),
    ),
    Mutation(
        "a walk does not look at the queue of a letter",
        "an operator retries what was not meant",
        f"{_LUA}/prelude.lua",
        " and (queue == '' or task[3] == queue)",
        "",
        (f"{_BULK}::test_those_that_are_alike_are_meant_and_no_others",),
    ),
    Mutation(
        "a walk to some ids takes others, too",
        "an operator deletes what was not named",
        f"{_LUA}/prelude.lua",
        " and (not only or only[id]) and",
        " and",
        (f"{_BULK}::test_what_is_finished_is_deleted_by_ids_and_what_is_not_is_told",),
    ),
    Mutation(
        "a walk takes one from the wrong side of the list",
        "a letter that is retried stays a dead letter, too, and another one's mark stays",
        f"{_LUA}/prelude.lua",
        "places[id] = -(behind + looked)",
        "places[id] = behind + looked - 1",
        (f"{_BULK}::test_those_that_are_alike_are_meant_and_no_others",),
    ),
    Mutation(
        "a part of a walk begins with a write that a full Redis refuses",
        "dead letters can't be deleted just when room is needed",
        f"{_LUA}/prelude.lua",
        "if #taken > 0 then redis.call('LTRIM', dead_letter, 0, -1) end",
        "",
        ("api/test_redis_away.py::test_a_full_redis_lets_dead_letters_be_retried_and_deleted",),
    ),
    Mutation(
        "what was done in a part of a walk is not remembered",
        "a part that is repeated after a lost answer counts too little, and deletes what was not meant yet",
        f"{_LUA}/prelude.lua",
        "if #taken > 0 then redis.call('SET', forgotten,",
        "if false then redis.call('SET', forgotten,",
        (f"{_BULK}::test_a_part_that_is_sent_twice_is_done_once_and_answered_alike",),
    ),
    Mutation(
        "a walk looks at what has come since it began",
        "tasks that fail again at once are retried for ever",
        "minicelery/broker.py",
        "left=min(walk.left + again - looked, front)",
        "left=front",
        (f"{_BULK}::test_what_fails_again_while_a_walk_goes_on_does_not_prolong_it",),
    ),
    Mutation(
        "a walk takes what has failed since it began",
        "a letter is deleted that nobody has seen, as others have retried one meanwhile",
        f"{_LUA}/prelude.lua",
        " or (begun ~= '' and failed > tonumber(begun) and failed <= at)",
        "",
        (
            f"{_BULK}::test_what_has_failed_since_a_walk_began_stays_though_others_have_made_room",
            f"{_BULK}::test_what_is_taken_away_in_front_of_a_walk_or_added_is_not_counted",
        ),
    ),
    Mutation(
        "a letter that failed at a time still to come counts as later",
        "for an hour after Redis's clock was set back by one, letters can't be retried all at once",
        f"{_LUA}/prelude.lua",
        " and failed <= at)",
        ")",
        (f"{_BULK}::test_a_walk_takes_what_has_failed_before_the_clock_was_set_back",),
    ),
    Mutation(
        "a walk begins at a rounded time",
        "a letter that fails right after it began is taken",
        "minicelery/bulk.py",
        "int(now * 1000 + 0.0005) / 1000",
        "round(now, 3)",
        (f"{_BULK}::test_a_walk_begins_in_the_millisecond_that_the_scripts_would_note",),
    ),
    Mutation(
        "a walk ends at the first one that failed later",
        "what a doctor has put back out of its order hides others",
        f"{_LUA}/prelude.lua",
        "if earlier == 0 and later >= 100 then front = 0 end",
        "if earlier == 0 and later >= 1 then front = 0 end",
        (f"{_BULK}::test_a_few_that_failed_later_do_not_end_a_walk",),
    ),
    Mutation(
        "Ctrl-C breaks a call off in the middle",
        "nobody knows how much is done",
        "minicelery/bulk_commands.py",
        "        if self.stopping:\n            raise KeyboardInterrupt\n        self.stopping = True",
        "        raise KeyboardInterrupt",
        (
            "unit/test_bulk_commands.py::test_ctrl_c_ends_an_operation_behind_the_call_that_is_on_its_way_and_tells_how_much_is_done",
        ),
    ),
)
