"""What a child notes for its parent."""

import pytest

from minicelery.worker.board import CAPACITY, Board, Count, Held, Limit

NEVER = float("inf")


def test_a_board_tells_what_each_thread_has_in_hand() -> None:
    board = Board.create()
    for thread in range(CAPACITY):
        board.open_slot(thread)
    longest = "x" * 128
    board.enter(0, 4711)
    board.take(0, "a", "add", "1.n")
    board.take(CAPACITY - 1, longest, "add", "2.n")
    board.begin(CAPACITY - 1, 100.0, Limit(2.5, 7.0))
    board.take(1, "done", "add", "3.n")
    board.begin(1, 100.0)
    board.drop(1)

    seen_by_the_parent = Board(board.fd)

    assert seen_by_the_parent.held() == [
        Held(0, 4711, "a", "add", "1.n", False, NEVER, Limit(0.0, 0.0)),
        Held(CAPACITY - 1, 0, longest, "add", "2.n", True, 102.5, Limit(2.5, 7.0)),
    ]
    seen_by_the_parent._memory.close()
    board.close()


def test_a_run_without_a_limit_has_none_though_the_run_before_had_one() -> None:
    board = Board.create()
    board.open_slot(0)
    board.take(0, "a", "add", "1.n")
    board.begin(0, 100.0, Limit(2.5))
    board.take(0, "b", "add", "1.n")
    claimed = board.held()
    board.begin(0, 200.0)

    assert [held.deadline for held in (*claimed, *board.held())] == [NEVER, NEVER]
    board.close()


def test_an_id_that_a_foreign_hand_wrote_in_bytes_is_kept() -> None:
    board = Board.create()
    board.open_slot(0)
    board.take(0, "\udcff", "add", "1.n")

    assert board.held()[0].id == "\udcff"
    board.close()


def test_counters_are_summed_over_the_threads() -> None:
    board = Board.create()
    for thread in range(3):
        board.open_slot(thread)
        board.count(thread, Count.SUCCEEDED)
    board.count(2, Count.HANDED_BACK, 5)

    totals = board.totals()

    assert (totals[Count.SUCCEEDED], totals[Count.HANDED_BACK], totals[Count.FAILED]) == (3, 5, 0)
    board.close()


def test_a_limit_is_lifted_when_the_run_is_over() -> None:
    board = Board.create()
    board.open_slot(0)
    board.take(0, "a", "add", "1.n")
    board.begin(0, 100.0, Limit(2.5))

    board.lift_limit(0)

    [held] = board.held()
    assert (held.begun, held.deadline, held.limit) == (True, NEVER, Limit(2.5))
    board.close()


def test_a_slot_whose_task_changes_while_it_is_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board.create()
    board.open_slot(0)
    board.take(0, "a", "add", "1.a")
    board.begin(0, 100.0, Limit(2.5))
    read, reads = board._texts, iter(range(9))

    def read_and_change(thread: int) -> tuple[str, str, str]:
        texts = read(thread)
        if next(reads) == 0:
            board.take(0, "b", "add", "1.a")  # of the same claim
            board.begin(0, 200.0)
        return texts

    monkeypatch.setattr(board, "_texts", read_and_change)
    assert board.held() == []

    monkeypatch.undo()
    assert [held.id for held in board.held()] == ["b"]
    board.close()


def test_a_child_that_leaves_in_order_says_so() -> None:
    board = Board.create()
    assert not board.has_left

    board.leave()

    assert board.has_left
    board.close()
