"""Guards of locks and semaphores: who gets them, who has lost them, and the tokens."""

from .mutation import Mutation

_LUA = "minicelery/lua"
_STORE = "store/test_locks.py"
_HOLDING = "store/test_holding_locks.py"
_KEEPER = "unit/test_lock_keeper.py"
_RUNS = "faults/test_lock_runs.py"
_FULL = f"{_STORE}::test_a_full_redis_gives_renews_and_takes_back_locks_so_that_what_runs_can_end"

_WHO_GETS_IT = (
    Mutation(
        "lock_acquire does not look who is in front",
        "who comes at the right moment goes ahead of those who wait, for ever",
        f"{_LUA}/lock_acquire.lua",
        "local is_mine = #holders + #front < room",
        "local is_mine = #holders < room",
        (f"{_STORE}::test_who_does_not_wait_takes_nothing_from_those_who_do",),
    ),
    Mutation(
        "lock_acquire does not look who holds it",
        "a lock is held by two",
        f"{_LUA}/lock_acquire.lua",
        "local is_mine = #holders + #front < room",
        "local is_mine = #front < room",
        (f"{_STORE}::test_one_holds_a_lock_at_a_time",),
    ),
    Mutation(
        "lock_acquire does not know a request again",
        "a request whose answer was lost holds up itself",
        f"{_LUA}/lock_acquire.lua",
        "if before and mine and tonumber(mine) > at then return {'held', before} end\n",
        "",
        (f"{_STORE}::test_a_request_that_is_repeated_is_one_holding_with_one_token",),
    ),
    Mutation(
        "lock_acquire does not know that a request is over",
        "a copy that comes late holds up all others until its time is over",
        f"{_LUA}/lock_acquire.lua",
        "if redis.call('EXISTS', over) == 1 then return {'over'} end\n",
        "",
        (f"{_STORE}::test_a_copy_of_a_request_that_comes_after_its_release_takes_nothing",),
    ),
    Mutation(
        "a semaphore does not ask what its holders allow",
        "during a deploy more hold it than one of them was told",
        f"{_LUA}/lock_acquire.lua",
        "    room = math.min(room, tonumber((string.match(fact or '', FACT))) or room)\n",
        "",
        (f"{_STORE}::test_of_different_limits_the_smallest_counts",),
    ),
    Mutation(
        "a semaphore does not ask what those in front allow",
        "one with a small limit waits for ever",
        f"{_LUA}/lock_acquire.lua",
        "for _, one in ipairs(front) do room = math.min(room, one.limit) end\n",
        "",
        (f"{_STORE}::test_a_lock_waits_until_nobody_holds_the_semaphore_of_its_name_and_none_goes_ahead",),
    ),
    Mutation(
        "a place in the line does not end",
        "who has died while waiting holds up all behind him",
        f"{_LUA}/prelude.lua",
        "if (tonumber(place_end) or 0) > at then",
        "if place_end then",
        (f"{_STORE}::test_one_who_waits_no_more_is_in_nobodys_way",),
    ),
    Mutation(
        "a place of before the clock was set back counts",
        "who has died while waiting holds up all behind him for as long as the step was",
        f"{_LUA}/prelude.lua",
        "if (tonumber(renewed) or 0) <= at then",
        "if true then",
        (f"{_STORE}::test_one_who_died_in_the_line_before_the_clock_was_set_back_is_in_nobodys_way",),
    ),
    Mutation(
        "a place of before the clock was set back is taken away",
        "those who live and wait change their order with every step of the clock",
        f"{_LUA}/prelude.lua",
        "      if (tonumber(place_end) or 0) > at then\n",
        "      if (tonumber(place_end) or 0) > at and (tonumber(renewed) or 0) <= at then\n",
        (f"{_STORE}::test_those_who_wait_while_the_clock_is_set_back_keep_their_order",),
    ),
    Mutation(
        "who gives up keeps his place",
        "the next one waits for him",
        f"{_LUA}/lock_acquire.lua",
        "    redis.call('ZREM', line, me)\n    redis.call('HDEL', facts, me)\n",
        "",
        (f"{_STORE}::test_one_who_gives_up_leaves_the_line_and_rings_for_the_next",),
    ),
    Mutation(
        "who learns too late that he has to wait keeps his place",
        "a poller whose requests take longer than he waits stands behind himself for ever, before a free lock",
        "minicelery/locks.py",
        "if holding or sent < until <= now:",
        "if holding:",
        (f"{_HOLDING}::test_who_learns_that_he_has_to_wait_when_his_time_is_over_leaves_the_line",),
    ),
    Mutation(
        "a release rings for nobody",
        "those who wait notice it a second later",
        f"{_LUA}/lock_release.lua",
        "ring_waiter(line, facts, at, 0)\n",
        "",
        (f"{_STORE}::test_a_release_rings_for_the_first_in_the_line_alone",),
    ),
    Mutation(
        "who gets a share rings for nobody",
        "those who wait for the others notice them a second later",
        f"{_LUA}/lock_acquire.lua",
        "if #holders + #front + 1 < room then ring_waiter(line, facts, at, #front) end\n",
        "",
        (f"{_STORE}::test_who_gets_a_share_rings_for_the_next_while_there_is_room",),
    ),
)

_WHO_HAS_LOST_IT = (
    Mutation(
        "a holder whose time is over stays beside the next one",
        "he renews and releases as if it were his",
        f"{_LUA}/lock_acquire.lua",
        "call_with_all('ZREM', lock, ended)\n",
        "",
        (f"{_STORE}::test_a_lock_whose_time_is_over_goes_to_the_next_and_its_late_holder_can_not_touch_it",),
    ),
    Mutation(
        "lock_release does not know a request again",
        "who repeats it after a lost answer is told that the lock was lost",
        f"{_LUA}/lock_release.lua",
        "if before then return tonumber(before) end\n",
        "",
        (f"{_STORE}::test_a_release_that_is_repeated_says_the_same_and_touches_nobody_else",),
    ),
    Mutation(
        "lock_break does not know a request again",
        "a copy of it takes the lock from the next one, too",
        f"{_LUA}/lock_break.lua",
        "if before then return tonumber(before) end\n",
        "",
        (f"{_STORE}::test_breaking_that_is_repeated_says_the_same_and_touches_nobody_else",),
    ),
    Mutation(
        "a renewal meets an overwritten lock and ends",
        "all locks of the process are lost for one",
        f"{_LUA}/lock_renew.lua",
        "found[#found + 1] = is_whole and redis.call",
        "found[#found + 1] = redis.call",
        (f"{_STORE}::test_an_overwritten_lock_keeps_no_other_from_being_renewed_or_listed",),
    ),
    Mutation(
        "a renewal counts from its answer",
        "a holder believes to hold what has ended in Redis already",
        "minicelery/lock_keeper.py",
        "holding.renew(sent, now())",
        "holding.renew(now(), now())",
        (f"{_KEEPER}::test_the_time_of_a_lock_counts_from_when_the_request_was_sent",),
    ),
    Mutation(
        "a lock that was lost is good again",
        "who has been told that it is lost, and who has not, do not agree",
        "minicelery/lock_keeper.py",
        "        self.is_gone = self.is_lost(now)\n",
        "",
        (
            f"{_KEEPER}::test_an_answer_that_comes_when_the_time_is_over_is_too_late",
            f"{_HOLDING}::test_a_lock_counts_as_lost_when_its_time_is_over_by_the_clock_of_this_machine",
        ),
    ),
    Mutation(
        "a renewal that failed is not tried again",
        "an outage of a moment costs every lock",
        "minicelery/lock_keeper.py",
        "min(now + pause, holding.sent + holding.ttl)",
        "holding.sent + holding.ttl",
        (f"{_KEEPER}::test_what_could_not_be_renewed_is_tried_again_soon_and_lost_at_its_end",),
    ),
    Mutation(
        "a lock is held although its answer took as long as it lasts",
        "the block is entered when another may be in it",
        "minicelery/locks.py",
        "if holding and not holding.is_lost(now):",
        "if holding:",
        (f"{_HOLDING}::test_an_answer_that_takes_as_long_as_the_lock_is_to_last_is_none",),
    ),
    Mutation(
        "who is interrupted while waiting stays in the line",
        "the lock is given to nobody, and the next waits until that is over",
        "minicelery/locks.py",
        "            self._give_up(request)\n            raise\n",
        "            raise\n",
        (f"{_HOLDING}::test_who_is_interrupted_while_waiting_leaves_the_line",),
    ),
    Mutation(
        "a fork has the locks of its parent",
        "it releases them in the midst of the parent's work",
        "minicelery/locks.py",
        "return self._holding is not None and self._holding.pid == os.getpid()",
        "return self._holding is not None",
        (f"{_RUNS}::test_a_fork_has_none_of_the_locks_of_its_parent_and_renews_its_own",),
    ),
    Mutation(
        "a thread that could not be started counts as one",
        "no lock of the process is renewed any more, and each ends while its holder works on",
        "minicelery/lock_keeper.py",
        "            thread.start()  # as we have the condition, it looks when this holding is there\n"
        "            watch.thread = thread\n",
        "            watch.thread = thread\n            thread.start()\n",
        (f"{_KEEPER}::test_a_thread_that_could_not_be_started_is_started_for_the_next_lock",),
    ),
    Mutation(
        "a fork waits for the thread of its parent",
        "its own locks are never renewed",
        "minicelery/lock_keeper.py",
        "if self._watch.pid != os.getpid():",
        "if False:",
        (f"{_RUNS}::test_a_fork_has_none_of_the_locks_of_its_parent_and_renews_its_own",),
    ),
)

_TOKENS = (
    Mutation(
        "a token does not look at the clock",
        "when a lagging replica takes over, the next holder's writes are refused and the stale one's are not",
        f"{_LUA}/lock_acquire.lua",
        "math.floor(at * 1000 + 0.5)))",
        "0))",
        (f"{_STORE}::test_tokens_grow_on_when_redis_has_lost_the_last_one",),
    ),
    Mutation(
        "a token looks at the clock alone",
        "two in one millisecond, or a clock that is set back, give a token that is not larger",
        f"{_LUA}/lock_acquire.lua",
        "(tonumber(last or nil) or 0) + 1, math.floor",
        "0, math.floor",
        (f"{_STORE}::test_tokens_grow_on_when_the_clock_of_redis_is_set_back",),
    ),
)

_MEMORY = (
    Mutation(
        "a full Redis gives no locks",
        "what runs and needs one can't end, so nothing gives memory back",
        f"{_LUA}/lock_acquire.lua",
        "pass_full_memory(lock)\n",
        "",
        (_FULL,),
    ),
    Mutation(
        "a full Redis renews no locks",
        "all locks are lost while their holders are well",
        f"{_LUA}/lock_renew.lua",
        "    pass_full_memory(KEYS[i])\n",
        "",
        (_FULL,),
    ),
    Mutation(
        "a full Redis takes no locks back",
        "each ends after its time only",
        f"{_LUA}/lock_release.lua",
        "redis.call('ZREM', lock, me)\n",
        "redis.call('ZADD', lock, 1, me)\nredis.call('ZREM', lock, me)\n",
        (_FULL,),
    ),
    Mutation(
        "what was noted of a lock is kept for ever",
        "every name that was ever locked takes memory",
        f"{_LUA}/lock_acquire.lua",
        "keep_lock(lock, ttl)\nkeep_lock(facts, ttl)\n",
        "",
        (f"{_STORE}::test_nothing_of_a_lock_stays_for_longer_than_an_hour_after_its_time",),
    ),
)

GUARDS_OF_LOCKS = (*_WHO_GETS_IT, *_WHO_HAS_LOST_IT, *_TOKENS, *_MEMORY)
