"""Guards in Python: the clock, the link to Redis, the threads and processes of a worker, the doctor."""

from .mutation import Mutation

_CLOCKS = "faults/test_clocks.py"
_DOCTORS = "store/test_doctor.py"
_LOST_ANSWERS = (
    "faults/test_lost_answers.py::test_claims_and_outcomes_without_an_answer_are_repeated_until_there_is_one"
)

_CLOCK = (
    Mutation(
        "the scripts take the time from their caller",
        "machines whose clocks differ take each other's tasks away",
        "minicelery/scripts.py",
        "            return self._client.evalsha(script.sha, len(keys), *keys, self._prefix, *args)\n",
        "            import time\n"
        "            text = script.text.replace(\"redis.call('TIME')\", \"{'%.0f', '0'}\" % time.time())\n"
        "            return self._client.eval(text, len(keys), *keys, self._prefix, *args)\n",
        (f"{_CLOCKS}::test_all_times_of_a_task_are_those_of_redis", f"{_CLOCKS}::test_leases_end_by_redis_clock_alone"),
    ),
    Mutation(
        "the time is written into the scripts when they are loaded",
        "no lease of that process ever ends, and nothing delayed comes due",
        "minicelery/scripts.py",
        '    text = f"local prefix = ARGV[1]\\n{lua_names()}\\n{prelude}\\n{body}"\n',
        "    import time\n"
        '    text = f"local prefix = ARGV[1]\\n{lua_names()}\\n{prelude}\\n{body}"\n'
        "    text = text.replace(\"redis.call('TIME')\", \"{'%.0f', '0'}\" % time.time())\n",
        (f"{_CLOCKS}::test_all_times_of_a_task_are_those_of_redis",),
    ),
    Mutation(
        "lost workers are looked for by the machine's clock",
        "the living are taken for lost, or the lost are never found",
        "minicelery/inspector.py",
        '        with translated("looking for lost workers"):\n            now = _seconds(self._client.time())\n',
        '        import time\n\n        with translated("looking for lost workers"):\n            now = time.time()\n',
        (f"{_CLOCKS}::test_leases_end_by_redis_clock_alone",),
    ),
    Mutation(
        "leases are shown by the machine's clock",
        "people are told nonsense",
        "minicelery/inspector.py",
        '        with translated("listing the workers"):\n            now = _seconds(self._client.time())\n',
        '        import time\n\n        with translated("listing the workers"):\n            now = time.time()\n',
        (f"{_CLOCKS}::test_leases_end_by_redis_clock_alone",),
    ),
)

_LINK = (
    Mutation(
        "threads wait for ids instead of rings",
        "what BRPOP has taken is lost when the thread dies, or the answer is",
        "minicelery/doorbell.py",
        "bells = [self._keys.wake(worker), *map(self._keys.bell, queues)]",
        "bells = [self._keys.wake(worker), *map(self._keys.queue, queues)]",
        ("store/test_transitions.py::test_who_waits_at_the_door_takes_nothing_from_the_queue",),
    ),
    Mutation(
        "redis-py repeats by itself",
        "commands that must not be repeated are",
        "minicelery/connection.py",
        "retry=Retry(NoBackoff(), 0),",
        "retry=Retry(NoBackoff(), 3),",
        ("unit/test_connection.py::test_a_command_without_an_answer_is_not_repeated_by_the_client_itself",),
    ),
    Mutation(
        "scripts that Redis has forgotten are not sent again",
        "a restart or SCRIPT FLUSH stops everything",
        "minicelery/scripts.py",
        "            return self._client.eval(script.text, len(keys), *keys, self._prefix, *args)\n",
        "            raise\n",
        ("unit/test_scripts.py::test_a_call_without_an_answer_is_repeated",),
    ),
    Mutation(
        "a script without an answer is not repeated",
        "every lost answer is an error of the caller",
        "minicelery/scripts.py",
        "if isinstance(error, ResponseError) and not _is_passing(error):",
        "if True:",
        ("unit/test_scripts.py::test_a_call_without_an_answer_is_repeated",),
    ),
    Mutation(
        "a claim without an answer is given up",
        "the thread asks under another number, and nobody runs what the lost answer gave",
        "minicelery/worker/consumer.py",
        "            answer = self._try(lambda: bench.broker.claim(claim))\n",
        "            self._claims += 1\n"
        "            claim = Claim(bench.worker, self._thread, self._claims, bench.world.nonce(), bench.queues)\n"
        "            answer = self._try(lambda: bench.broker.claim(claim))\n",
        (_LOST_ANSWERS,),
    ),
    Mutation(
        "an outcome without an answer is given up",
        "what a task has done is forgotten because of an outage",
        "minicelery/worker/consumer.py",
        "                time.sleep(bench.trouble.pause_after(error))\n",
        "                raise RuntimeError from error\n",
        (_LOST_ANSWERS,),
    ),
)

_WORKER = (
    Mutation(
        "the board does not tell what has begun",
        "no crash is ever counted",
        "minicelery/worker/board.py",
        "self._memory[thread * _SLOT + _STATE] = Hand.BEGUN",
        "self._memory[thread * _SLOT + _STATE] = Hand.CLAIMED",
        ("unit/test_board.py",),
    ),
    Mutation(
        "a thread does not note that its task has begun",
        "no crash is ever counted",
        "minicelery/worker/consumer.py",
        "        bench.board.begin(self._thread)\n",
        "",
        ("real/test_worker.py::test_a_killed_child_is_replaced_and_its_tasks_run_again_at_once",),
    ),
    Mutation(
        "a child is not ended with its parent",
        "a worker without a lease goes on",
        "minicelery/launch.py",
        "libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)",
        "libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)",
        ("real/test_embedded.py::test_a_server_ends_when_its_starter_is_killed",),
    ),
    Mutation(
        "a task that exits ends its thread",
        "the worker has one thread fewer, and says nothing",
        "minicelery/executor.py",
        "        except BaseException as error:\n            return self._judge(",
        "        except Exception as error:\n            return self._judge(",
        ("unit/test_executor.py::test_whatever_a_task_does_is_an_outcome",),
    ),
)

_DOCTOR = (
    Mutation(
        "the doctor looks once",
        "every task that moves meanwhile costs a script",
        "minicelery/doctor.py",
        "        if suspects:\n",
        "        if False:\n",
        (f"{_DOCTORS}::test_a_task_that_moves_at_every_look_is_not_reported",),
    ),
    Mutation(
        "the doctor believes looks that are not atomic",
        "tasks that move are reported as lost",
        "minicelery/doctor.py",
        "            if violation := self._locate(task_id, places.get(task_id, ())):\n",
        "            [task] = self._tasks([task_id])\n"
        "            names = [_name(place, task) for place in places.get(task_id, ())]\n"
        "            if violation := _judge(task_id, task[0], names):\n",
        (f"{_DOCTORS}::test_a_task_that_moves_at_every_look_is_not_reported",),
    ),
)

GUARDS_IN_PYTHON = (*_CLOCK, *_LINK, *_WORKER, *_DOCTOR)
