"""What a child notes for its parent."""

from collections.abc import Iterator

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


@pytest.fixture
def laid_out() -> Iterator[Board]:
    """A board of two threads, and two claims: a to c, then d to f."""
    board = Board.create()
    for thread in range(2):
        board.open_slot(thread)
    for at, ids in ((1.0, "abc"), (2.0, "def")):
        board.lay_out(at, [(one, f"1.{one}") for one in ids])
    yield board
    board.close()


def hold(board: Board, thread: int, task_id: str, *, begun: bool) -> None:
    board.take(thread, task_id, "add", f"1.{task_id}")
    if begun:
        board.begin(thread, 100.0)


def waiting(board: Board, before: float = NEVER) -> str:
    return "".join(task_id for task_id, _ in board.not_begun(before))


def test_what_has_not_begun_stands_behind_the_last_one_in_a_hand(laid_out: Board) -> None:
    hold(laid_out, 0, "a", begun=True)
    hold(laid_out, 1, "c", begun=True)

    assert waiting(laid_out) == "fed"
    assert laid_out.not_begun(NEVER)[0] == ("f", "1.f")


def test_what_is_in_a_hand_and_has_not_begun_waits_too(laid_out: Board) -> None:
    hold(laid_out, 0, "d", begun=False)
    hold(laid_out, 1, "b", begun=True)

    assert waiting(laid_out) == "fed"


def test_what_has_ended_does_not_wait_though_an_earlier_one_still_runs(laid_out: Board) -> None:
    hold(laid_out, 0, "a", begun=True)
    for task_id in "bcd":
        hold(laid_out, 1, task_id, begun=True)
    laid_out.drop(1)
    hold(laid_out, 1, "e", begun=False)

    assert waiting(laid_out) == "fe"


def test_what_was_claimed_later_than_the_moment_is_left_out(laid_out: Board) -> None:
    hold(laid_out, 0, "a", begun=True)

    assert waiting(laid_out, before=2.0) == "cb"


def test_nothing_is_said_of_what_waits_where_nothing_is_in_a_hand(laid_out: Board) -> None:
    assert waiting(laid_out) == ""


def test_of_many_claims_the_last_four_are_known(laid_out: Board) -> None:
    for number in range(5):
        laid_out.lay_out(3.0 + number, [(f"t{number}", "1.x"), (f"u{number}", "1.x")])
    laid_out.take(0, "t1", "add", "1.x")
    laid_out.begin(0, 100.0)

    assert [task_id for task_id, _ in laid_out.not_begun(NEVER)] == ["u4", "t4", "u3", "t3", "u2", "t2", "u1"]


def test_a_recall_is_seen_by_the_child(laid_out: Board) -> None:
    assert laid_out.recalled_at == 0.0

    laid_out.recall(12.5)

    assert laid_out.recalled_at == 12.5
