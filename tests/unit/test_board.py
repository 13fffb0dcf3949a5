"""What a child notes for its parent."""

from minicelery.worker.board import CAPACITY, Board, Count, Held


def test_a_board_tells_what_each_thread_has_in_hand() -> None:
    board = Board.create()
    longest = "x" * 128
    board.take(0, "a", "1.n")
    board.take(CAPACITY - 1, longest, "2.n")
    board.begin(CAPACITY - 1)
    board.take(1, "done", "3.n")
    board.begin(1)
    board.drop(1)

    seen_by_the_parent = Board(board.fd)

    assert seen_by_the_parent.held() == [Held("a", "1.n", False), Held(longest, "2.n", True)]
    seen_by_the_parent._memory.close()
    board.close()


def test_counters_are_summed_over_the_threads() -> None:
    board = Board.create()
    for thread in range(3):
        board.count(thread, Count.SUCCEEDED)
    board.count(2, Count.HANDED_BACK, 5)

    totals = board.totals()

    assert (totals[Count.SUCCEEDED], totals[Count.HANDED_BACK], totals[Count.FAILED]) == (3, 5, 0)
    board.close()
