"""Guards of schedules: what fires a due time once, from the right definition, and only while it is to be fired."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_SCHEDULES = "store/test_schedules.py"
_FIRING = "unit/test_firing.py"
_CRON = "unit/test_cron.py"

_FIRE = (
    Mutation(
        "fire does not look where a schedule stands",
        "each worker that has found it due fires it, and moves it back",
        f"{_LUA}/fire.lua",
        "if not score or tonumber(score) ~= tonumber(due) or stored ~= version then",
        "if not score or stored ~= version then",
        (f"{_SCHEDULES}::test_a_due_time_is_fired_once_however_many_workers_find_it",),
    ),
    Mutation(
        "fire does not look at the version",
        "after a change the next due time is the one of the old rule",
        f"{_LUA}/fire.lua",
        " or stored ~= version then",
        " then",
        (f"{_SCHEDULES}::test_what_was_computed_from_another_definition_is_refused",),
    ),
    Mutation(
        "fire does not look whether a live worker declares the schedule",
        "what was removed from the code is fired for ever",
        f"{_LUA}/fire.lua",
        "if origin == 'code' and not is_declared(name, version, at) then",
        "if false then",
        (f"{_SCHEDULES}::test_a_schedule_that_no_live_worker_declares_is_not_fired",),
    ),
    Mutation(
        "a worker whose lease is over still declares its schedules",
        "what was removed from the code is fired until somebody recovers that worker",
        f"{_LUA}/prelude.lua",
        "for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key.workers(), '(' .. stamp(at), '+inf')) do\n"
        "      local facts",
        "for _, worker in ipairs(redis.call('ZRANGE', key.workers(), 0, -1)) do\n      local facts",
        (f"{_SCHEDULES}::test_a_schedule_that_no_live_worker_declares_is_not_fired",),
    ),
    Mutation(
        "fire does not look whether the task is there",
        "a schedule that is deleted and added again fires a due time twice",
        f"{_LUA}/fire.lua",
        "if redis.call('EXISTS', key.task(ARGV[i])) == 0 then",
        "if true then",
        (f"{_SCHEDULES}::test_a_schedule_that_is_deleted_and_added_again_fires_no_due_time_twice",),
    ),
    Mutation(
        "fire does not look where its tasks go",
        "the script ends between its writes, and the task is in no place",
        f"{_LUA}/fire.lua",
        "if obstacle then return {'stuck', obstacle} end",
        "",
        (f"{_SCHEDULES}::test_a_schedule_of_an_overwritten_queue_waits_and_the_others_are_fired",),
    ),
    Mutation(
        "a schedule that is fired stays where it stands",
        "it is fired again and again",
        f"{_LUA}/fire.lua",
        "if due ~= '' then redis.call('ZADD', schedules, next_due == '' and '+inf' or next_due, name) end",
        "",
        (f"{_SCHEDULES}::test_a_due_time_is_one_task_whose_id_follows_from_it",),
    ),
)

_CHANGES = (
    Mutation(
        "an older release writes its definition again",
        "two releases side by side turn it back and forth",
        f"{_LUA}/declare.lua",
        "if there and there ~= version and was_replaced and is_declared(name, there, at) then return 'newer' end",
        "",
        (f"{_SCHEDULES}::test_with_two_releases_side_by_side_the_newer_definition_stays",),
    ),
    Mutation(
        "an older release never has its definition again",
        "after a step back to the release before, nothing is fired",
        f"{_LUA}/declare.lua",
        "was_replaced and is_declared(name, there, at) then return 'newer' end",
        "was_replaced then return 'newer' end",
        (f"{_SCHEDULES}::test_when_the_newer_release_is_gone_the_older_one_has_its_definition_again",),
    ),
    Mutation(
        "the code overwrites a schedule of run time",
        "what somebody has made is gone with the next worker that starts",
        f"{_LUA}/declare.lua",
        "if origin == 'runtime' then return 'runtime' end",
        "",
        (f"{_SCHEDULES}::test_a_schedule_of_run_time_is_not_replaced_by_one_of_the_code",),
    ),
    Mutation(
        "what the code has not had for long is made up for",
        "a schedule that comes back after a month fires what nobody has missed",
        f"{_LUA}/declare.lua",
        "and undeclared and at - undeclared < KEPT then",
        "and undeclared then",
        (f"{_SCHEDULES}::test_what_came_back_soon_has_missed_what_it_stood_at",),
    ),
    Mutation(
        "a new release resumes what is paused",
        "a pause ends with the next deployment",
        f"{_LUA}/declare.lua",
        "if redis.call('HEXISTS', where, 'paused') == 1 or next_due == '' then",
        "if next_due == '' then",
        (f"{_SCHEDULES}::test_a_pause_outlasts_a_new_release",),
    ),
    Mutation(
        "a change does not look what was changed meanwhile",
        "of two changes at once one is lost",
        f"{_LUA}/schedule.lua",
        "if there and there ~= before then return 'changed' end",
        "",
        (f"{_SCHEDULES}::test_a_change_of_what_was_changed_meanwhile_is_refused",),
    ),
    Mutation(
        "a change that is repeated is not recognised",
        "who gets no answer is told that the name is taken, by himself",
        f"{_LUA}/schedule.lua",
        "if there == version then return 'done' end",
        "",
        (f"{_SCHEDULES}::test_a_name_is_given_once_and_a_repeat_is_recognised",),
    ),
    Mutation(
        "a change resumes what is paused",
        "it fires although nobody has said so",
        f"{_LUA}/schedule.lua",
        "if paused or next_due == 'none' then",
        "if next_due == 'none' then",
        (f"{_SCHEDULES}::test_a_paused_schedule_stands_at_no_time_until_it_is_resumed",),
    ),
    Mutation(
        "a deletion that is repeated is not recognised",
        "who gets no answer is told that there is none",
        f"{_LUA}/unschedule.lua",
        "if redis.call('EXISTS', forgotten) == 1 then return 'done' end",
        "",
        (f"{_SCHEDULES}::test_a_deletion_is_answered_the_same_when_it_is_repeated",),
    ),
    Mutation(
        "what the code declares can be deleted",
        "it is back with the next beat, and its pause is forgotten",
        f"{_LUA}/unschedule.lua",
        "if origin == 'code' and is_declared(name, version, at) then return 'code' end",
        "",
        (f"{_SCHEDULES}::test_a_schedule_from_code_is_neither_changed_nor_deleted_while_it_is_declared",),
    ),
    Mutation(
        "a schedule that is resumed stands where a changed rule does not",
        "it fires at a time of the old rule",
        f"{_LUA}/resume_schedule.lua",
        "if version ~= wanted then return 'changed' end",
        "",
        (f"{_SCHEDULES}::test_a_paused_schedule_stands_at_no_time_until_it_is_resumed",),
    ),
    Mutation(
        "pausing begins with a write that a full Redis refuses",
        "what fills the memory can not be stopped",
        f"{_LUA}/pause_schedule.lua",
        "pass_full_memory(schedules)",
        "",
        ("api/test_redis_away.py::test_a_schedule_can_be_paused_and_deleted_in_a_full_redis",),
    ),
)

_IN_PYTHON = (
    Mutation(
        "a full Redis is an outage to schedules",
        "the upkeep stops all else that it does",
        "minicelery/firing.py",
        "fired = self._timetable.fire(firings)\n        except RedisFull as error:",
        "fired = self._timetable.fire(firings)\n        except ZeroDivisionError as error:",
        ("api/test_redis_away.py::test_a_full_redis_keeps_schedules_waiting_and_has_them_fired_when_there_is_room",),
    ),
    Mutation(
        "a full Redis is an outage to who declares schedules",
        "the upkeep stops all else that it does",
        "minicelery/firing.py",
        "for one in wanted)\n        except RedisFull as error:",
        "for one in wanted)\n        except ZeroDivisionError as error:",
        ("api/test_redis_away.py::test_a_full_redis_keeps_schedules_waiting_and_has_them_fired_when_there_is_room",),
    ),
    Mutation(
        "a worker that stops fires its own schedules",
        "what is due in that moment is taken for removed from the code",
        "minicelery/upkeep.py",
        "        if not self._registered:\n            return  #",
        "        if False:\n            return  #",
        (f"{_FIRING}::test_who_has_no_worker_left_takes_no_schedule_for_one_that_nobody_declares",),
    ),
    Mutation(
        "a ring does not make the upkeep look at schedules",
        "what is added is fired seconds late",
        "minicelery/upkeep.py",
        "due.promote = due.expire = due.admit = due.fire = 0.0",
        "due.promote = due.expire = due.admit = 0.0",
        (f"{_FIRING}::test_a_schedule_that_is_added_is_fired_at_its_time_although_nobody_was_waiting_for_one",),
    ),
    Mutation(
        "whatever is late counts as missed",
        "a worker that is busy for a moment leaves out runs",
        "minicelery/slots.py",
        "if now - due <= MISSED_AFTER:",
        "if now - due <= 0:",
        ("unit/test_slots.py::test_nearly_in_time_is_not_missed_whatever_the_policy_says",),
    ),
    Mutation(
        "all makes up for every missed run",
        "after a long outage the queues are flooded",
        "minicelery/slots.py",
        "pending if len(pending) <= most else _last(rule, due, now, most)",
        "pending",
        ("unit/test_slots.py::test_all_is_bounded_to_the_latest",),
    ),
    Mutation(
        "a time that comes twice in autumn may lie in the past",
        "the next due time is before the present one",
        "minicelery/cron.py",
        "if (seconds := int(moment.timestamp())) > start:",
        "if seconds := int(moment.timestamp()):",
        (f"{_CRON}::test_the_second_of_two_equal_times_is_no_reason_to_be_due_again",),
    ),
    Mutation(
        "nobody asks anew where clocks change by half an hour",
        "on Lord Howe Island runs are left out twice a year",
        "minicelery/cron.py",
        "return found if found is None else self._first_near_half_an_hour(start, found)",
        "return found",
        (f"{_CRON}::test_what_goes_by_the_time_that_passes_is_due_whenever_the_clock_on_the_wall_says_so",),
    ),
)

GUARDS_OF_SCHEDULES = (*_FIRE, *_CHANGES, *_IN_PYTHON)
