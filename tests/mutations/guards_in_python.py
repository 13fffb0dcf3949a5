"""Guards in Python: the clock, the link to Redis, threads and processes, who is lost, replicas, the doctor."""

from .mutation import Mutation

_CLOCKS = "faults/test_clocks.py"
_CONSUMER = "unit/test_consumer.py"
_BURIAL = "unit/test_burial.py"
_IDENTITY = "unit/test_identity.py"
_LOST = "faults/test_lost_workers.py"
_REPLICATION = "store/test_replication.py"
_DOCTORS = "store/test_doctor.py"
_LOST_ANSWERS = (
    "faults/test_lost_answers.py::test_claims_and_outcomes_without_an_answer_are_repeated_until_there_is_one"
)

_CLOCK = (
    Mutation(
        "the scripts take the time from their caller",
        "machines whose clocks differ take each other's tasks away",
        "minicelery/scripts.py",
        "        answers = exchange(self._client, chain(named, wait), will_repeat=True, apart=apart, brisk=brisk)\n",
        "        import time\n"
        "        clock = \"{'%.0f', '0'}\" % time.time()\n"
        "        texts = [script.text.replace(\"redis.call('TIME')\", clock) for script in scripts]\n"
        '        named = [(b"EVAL", text, *self._words(part)) for text, part in zip(texts, parts, strict=True)]\n'
        "        answers = exchange(self._client, chain(named, wait))\n",
        (f"{_CLOCKS}::test_all_times_of_a_task_are_those_of_redis", f"{_CLOCKS}::test_leases_end_by_redis_clock_alone"),
    ),
    Mutation(
        "the time is written into the scripts when they are loaded",
        "no lease of that process ever ends, and nothing delayed comes due",
        "minicelery/scripts.py",
        "    text = link(prelude, body)\n",
        "    import time\n"
        "    text = link(prelude, body)\n"
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
        "who waits for a task once more hears what was told before",
        "the end of an earlier run is taken for that of this one",
        "minicelery/watch.py",
        "                if is_listening:  # what came before",
        "                if True:  # what came before",
        ("unit/test_watch.py::test_what_was_told_before_one_listens_again_is_passed_over",),
    ),
    Mutation(
        "outcomes wait for the claim that is sent with them",
        "who waits for a result hears of it later",
        "minicelery/broker.py",
        ", apart=len(settlements) <= _FEW",
        "",
        ("store/test_batches.py::test_a_single_outcome_is_on_its_way_before_the_claim_is_made",),
    ),
    Mutation(
        "what nobody repeats goes out over a connection that the server may have closed",
        "reads fail when a server was restarted, though it is there again",
        "minicelery/connection.py",
        "pool.reuse() if will_repeat and isinstance(pool, Pool)",
        "pool.reuse() if isinstance(pool, Pool)",
        ("unit/test_connection.py::test_a_connection_that_the_server_has_closed_is_opened_anew_before_it_is_lent",),
    ),
    Mutation(
        "what the kernel has taken of a call is sent once more",
        "Redis reads nonsense, and closes the connection",
        "minicelery/link.py",
        "            command = [packed[sent:]]\n",
        "",
        ("unit/test_connection.py::test_more_than_the_kernel_takes_at_once_is_sent_whole",),
    ),
    Mutation(
        "threads of the web process stay though there are more connections than threads",
        "the other connections wait for them, all of them if these do not rest",
        "minicelery/web/keepalive.py",
        "self.nr_conns <= self.cfg.threads and ",
        "",
        ("unit/test_keepalive.py::test_a_thread_does_not_stay_where_there_are_more_connections",),
    ),
    Mutation(
        "threads wait for ids instead of rings",
        "what BRPOP has taken is lost when the thread dies, or the answer is",
        "minicelery/doorbell.py",
        "bell = self._keys.quarantine_bell if quarantine else self._keys.bell\n",
        "bell = self._keys.quarantine if quarantine else self._keys.queue\n",
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
        "a connection is used again while an answer is still on its way",
        "the next caller takes it for its own",
        "minicelery/connection.py",
        "        connection.disconnect()  # what is still on its way is no answer to the next question\n",
        "",
        ("unit/test_connection.py::test_who_is_interrupted_leaves_no_answer_for_the_next",),
    ),
    Mutation(
        "a connection is used again while the rest of a stream is on its way",
        "the next caller takes it for its own",
        "minicelery/connection.py",
        "        connection.disconnect()  # nobody else wants the answers that are still on their way\n",
        "",
        ("unit/test_connection.py::test_who_leaves_a_stream_of_answers_leaves_none_for_the_next",),
    ),
    Mutation(
        "of many calls the one that has lost its answer is not repeated",
        "a part of what was submitted at once is missing, and nobody is told",
        "minicelery/scripts.py",
        "            yield self.run(name, *waiting.popleft())\n",
        "            waiting.popleft()\n",
        ("unit/test_scripts.py::test_of_many_calls_the_one_whose_answer_is_lost_is_repeated_and_then_it_goes_on",),
    ),
    Mutation(
        "scripts that Redis has forgotten are not sent again",
        "a restart or SCRIPT FLUSH stops everything",
        "minicelery/scripts.py",
        "        if forgotten:\n",
        "        if False:\n",
        ("unit/test_scripts.py::test_a_call_without_an_answer_is_repeated",),
    ),
    Mutation(
        "a script without an answer is not repeated",
        "every lost answer is an error of the caller",
        "minicelery/scripts.py",
        "if not is_passing(error):",
        "if True:",
        ("unit/test_scripts.py::test_a_call_without_an_answer_is_repeated",),
    ),
    Mutation(
        "a claim without an answer is given up",
        "the thread asks under another number, and nobody runs what the lost answer gave",
        "minicelery/worker/exchange.py",
        "            answer = self._patience.attempt(partial(self._bench.broker.claim, claim))\n",
        "            claim = self._next_claim(budget)\n"
        "            answer = self._patience.attempt(partial(self._bench.broker.claim, claim))\n",
        (_LOST_ANSWERS,),
    ),
    Mutation(
        "a claim that is refused is given up",
        "what it took before the lease was over is run by nobody, and its worker lives on",
        "minicelery/worker/exchange.py",
        "                was_refused = True\n",
        "                was_refused = True\n                claim = self._next_claim(budget)\n",
        (f"{_CONSUMER}::test_a_claim_that_was_answered_before_the_lease_was_over_is_asked_for_again",),
    ),
    Mutation(
        "an answer that only shows what a refused claim has not taken counts as an empty queue",
        "the thread goes to the door, and what waits waits for a ring",
        "minicelery/worker/exchange.py",
        "            elif answer and (answer.deliveries or not was_refused or self._bench.stopping.is_set()):\n",
        "            elif answer:\n",
        (f"{_CONSUMER}::test_a_claim_that_was_refused_is_followed_by_another_one_at_once",),
    ),
    Mutation(
        "a run that is over keeps its limit",
        "while Redis is away its parent takes it for one that hangs",
        "minicelery/worker/consumer.py",
        "            bench.board.lift_limit(self._thread)\n",
        "",
        (f"{_CONSUMER}::test_the_limit_of_a_run_that_is_over_is_lifted_while_it_is_recorded",),
    ),
    Mutation(
        "an outcome without an answer is given up",
        "what a task has done is forgotten because of an outage",
        "minicelery/worker/exchange.py",
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
        "self._memory[base + _STATE] = _BEGUN",
        "self._memory[base + _STATE] = _CLAIMED",
        ("unit/test_board.py",),
    ),
    Mutation(
        "a thread does not note that its task has begun",
        "no crash is ever counted",
        "minicelery/worker/consumer.py",
        "            bench.board.begin(self._thread, begun, limit)\n",
        "",
        ("real/test_worker.py::test_a_killed_child_is_replaced_and_its_tasks_run_again_at_once",),
    ),
    Mutation(
        "what is claimed and not begun is run though the child stops",
        "a deploy takes as long as the longest task that nobody had begun",
        "minicelery/worker/consumer.py",
        "        while not bench.stopping.is_set():\n",
        "        while buffer.waiting or not bench.stopping.is_set():\n",
        (f"{_CONSUMER}::test_what_was_claimed_while_stopping_is_given_back_at_once",),
    ),
    Mutation(
        "what was recalled runs when the child moves again",
        "it runs twice",
        "minicelery/worker/consumer.py",
        "            if claimed_at < bench.board.recalled_at:",
        "            if False:",
        (f"{_CONSUMER}::test_what_was_recalled_is_given_back_and_not_run_and_counts_as_handed_back",),
    ),
    Mutation(
        "a child is not given time to notice that something is recalled",
        "what it begins in this moment runs twice",
        "minicelery/worker/guard.py",
        "        if now - recalled_at < _NOTICE or",
        "        if",
        ("unit/test_guard.py::test_events_do_not_shorten_the_time_that_a_child_has_to_notice",),
    ),
    Mutation(
        "a run that was given up is recorded when it ends",
        "its failure has been recorded already, or it runs elsewhere",
        "minicelery/worker/consumer.py",
        "            if self.is_given_up:\n                return False\n",
        "",
        (f"{_CONSUMER}::test_a_run_that_is_given_up_records_nothing_and_ends_its_thread",),
    ),
    Mutation(
        "a child's tasks are left to the end of its lease",
        "they wait for it though their process is known to be dead",
        "minicelery/worker/burial.py",
        "        for estate in [*self._estates]:\n",
        "        for estate in [*self._estates][:0]:\n",
        (f"{_BURIAL}::test_what_a_dead_child_had_in_hand_is_ready_and_what_had_begun_counts_a_crash",),
    ),
    Mutation(
        "a child's tasks are forgotten when Redis is away",
        "they wait for the end of the lease though their process is known to be dead",
        "minicelery/worker/burial.py",
        "            except Exception as error:\n",
        "            except Exception as error:\n                self._estates.clear()\n",
        (f"{_BURIAL}::test_what_redis_does_not_take_back_is_tried_again",),
    ),
    Mutation(
        "a child that we have killed counts crashes",
        "what ran beside a task that overran its limit ends in quarantine",
        "minicelery/worker/burial.py",
        "blamed = child.blamed if child.blamed is not None else [",
        "blamed = [",
        (f"{_BURIAL}::test_a_child_whose_end_no_task_has_brought_about_counts_no_crash",),
    ),
    Mutation(
        "an exit with code 0 counts as an end in order",
        "a task that exits so in every run is run again for ever",
        "minicelery/worker/burial.py",
        "begun = () if left_behind is not None else",
        "begun = () if left_behind is not None or code == 0 else",
        (f"{_BURIAL}::test_a_task_that_exits_with_code_0_counts_a_crash",),
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

_LOST_WORKERS = (
    Mutation(
        "after a standstill leases count at once",
        "when Redis or a machine stood still, all workers take each other's tasks away",
        "minicelery/recovery.py",
        "            self._quiet_until = now + self._lease\n",
        "",
        (f"{_LOST}::test_after_a_standstill_nobody_is_lost_for_one_lease",),
    ),
    Mutation(
        "after the start leases count at once",
        "who starts when Redis comes back takes the tasks of all who have not beaten yet",
        "minicelery/recovery.py",
        "self._quiet_until = now + self._lease / 3",
        "self._quiet_until = now",
        (f"{_LOST}::test_a_new_worker_waits_before_it_takes_others_for_lost",),
    ),
    Mutation(
        "a worker recovers its own processes",
        "one that stood still takes its own tasks away",
        "minicelery/recovery.py",
        "            if worker in own:\n                continue\n",
        "",
        (f"{_LOST}::test_a_worker_never_recovers_its_own_processes",),
    ),
    Mutation(
        "the dead of this machine are left to their lease",
        "a restart waits for it",
        "minicelery/recovery.py",
        "identity.are_gone(_marks(facts)):",
        "False:",
        (f"{_LOST}::test_a_worker_of_this_machine_whose_processes_are_gone_is_recovered_at_once",),
    ),
    Mutation(
        "processes of another machine are looked for on this one",
        "the living of another container of the same name are taken for gone",
        "minicelery/recovery.py",
        'if facts.get("machine") == self._machine and identity',
        "if identity",
        (f"{_LOST}::test_a_worker_of_another_machine_is_left_to_its_lease",),
    ),
    Mutation(
        "a worker is gone when one of its processes is",
        "a child that lives on without its parent for a moment is recovered while it works",
        "minicelery/identity.py",
        "return bool(named) and all(",
        "return bool(named) and any(",
        (f"{_LOST}::test_a_worker_is_not_gone_while_one_of_its_processes_lives",),
    ),
    Mutation(
        "a process is known by its id alone",
        "the tasks of the dead wait while somebody else has the id",
        "minicelery/identity.py",
        "        return True  # another process has",
        "        return False  # another process has",
        (f"{_LOST}::test_a_worker_is_gone_though_another_process_has_got_its_id",),
    ),
    Mutation(
        "a process that /proc hides counts as gone",
        "the workers of another user on the machine are taken for dead at every look",
        "minicelery/identity.py",
        "    return False  # it is there, but",
        "    return True  # it is there, but",
        (f"{_IDENTITY}::test_a_process_that_proc_hides_is_not_taken_for_gone",),
    ),
)

_REPLICATED = (
    Mutation(
        "an answer does not wait for a replica that was asked for",
        "a failover loses what was accepted",
        "minicelery/scripts.py",
        "        if wait and answers.pop() < 1:\n",
        "        if wait and answers.pop() < 0:\n",
        (f"{_REPLICATION}::test_a_submission_that_no_replica_confirms_says_so_and_may_be_repeated",),
    ),
    Mutation(
        "a repeated submission writes nothing",
        "it is answered although no replica has the task",
        "minicelery/lua/enqueue.lua",
        "if #fresh == 0 and #changed == 0 and (there_before or known_by) then",
        "if #fresh == 0 and #changed == 0 and not there_before and known_by then",
        (f"{_REPLICATION}::test_a_repeat_that_finds_its_task_is_not_answered_before_a_replica_has_it",),
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
        "            [task] = self._standings([task_id])\n"
        '            if violation := judge(task_id, "", task.words(task_id, places.get(task_id, ()))):\n',
        (f"{_DOCTORS}::test_a_task_that_moves_at_every_look_is_not_reported",),
    ),
    Mutation(
        "the doctor repairs what it has seen once",
        "a task on its way is moved under the hands of who moves it",
        "minicelery/doctor.py",
        "elif survey.holders and violation == self._locate(subject, where):",
        "elif survey.holders:",
        ("store/test_repair.py::test_what_changed_between_the_two_looks_is_left_alone",),
    ),
)

GUARDS_IN_PYTHON = (*_CLOCK, *_LINK, *_WORKER, *_LOST_WORKERS, *_REPLICATED, *_DOCTOR)
