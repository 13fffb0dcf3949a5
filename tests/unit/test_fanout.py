"""The fan-out by itself: whom it sends what, in which order, and how much at a time."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from minicelery.events import Event, EventName
from minicelery.web import fanout
from minicelery.web.fanout import SLICE, Fanout
from minicelery.web.socket import framed
from minicelery.web.watching import Topic, Viewer


class Recorder:
    """Stands in for the sockets: what was sent, in order."""

    def __init__(self) -> None:
        self.sent: list[tuple[Viewer, Event, bytes]] = []
        self.fanout = Fanout(self.show)

    def show(self, viewers: Sequence[Viewer], event: Event, frame: bytes) -> None:
        self.sent += [(viewer, event, frame) for viewer in viewers]

    def finish(self) -> None:
        while self.fanout:
            self.fanout.hand_out()

    def told(self, viewer: Viewer) -> list[str]:
        return [event.text for one, event, _ in self.sent if one is viewer]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def a_topic(count: int) -> Topic:
    return Topic("x", "task:x:events", viewers={a_viewer() for _ in range(count)})


def a_viewer() -> Viewer:
    return Viewer(cast(Any, None), all_events=False)


def progress(number: int) -> Event:
    return Event(EventName.PROGRESS, f"progress {number}")


def test_an_event_is_framed_once_for_all_who_watch(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    def counting(text: str) -> bytes:
        texts.append(text)
        return framed(text)

    monkeypatch.setattr(fanout, "framed", counting)
    topic = a_topic(1_000)

    recorder.fanout.add(topic, progress(1))
    recorder.finish()

    assert texts == ["progress 1"]
    assert {viewer for viewer, _, _ in recorder.sent} == topic.viewers
    assert len(recorder.sent) == 1_000
    assert len({id(frame) for _, _, frame in recorder.sent}) == 1


def test_an_event_that_nobody_watches_is_not_framed(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fanout, "framed")

    recorder.fanout.add(a_topic(0), progress(1))

    assert not recorder.fanout


@pytest.mark.parametrize("sizes", [[1_000], [1] * 1_000, [SLICE - 1, 2, 1_000, 1]])
def test_a_slice_is_a_bounded_number_of_sends(sizes: list[int], recorder: Recorder) -> None:
    for size in sizes:
        recorder.fanout.add(a_topic(size), progress(1))

    while recorder.fanout:
        before = len(recorder.sent)
        recorder.fanout.hand_out()
        assert 0 < len(recorder.sent) - before <= SLICE

    assert len(recorder.sent) == sum(sizes)


def test_few_watchers_do_not_wait_for_many(recorder: Recorder) -> None:
    many, few = a_topic(1_000), a_topic(1)
    recorder.fanout.add(many, progress(1))
    recorder.fanout.add(many, progress(2))
    recorder.fanout.add(few, progress(1))

    recorder.fanout.hand_out()
    recorder.fanout.hand_out()

    assert recorder.told(*few.viewers) == ["progress 1"]


def test_the_events_of_a_task_keep_their_order_for_each_who_watches(recorder: Recorder) -> None:
    topics = [a_topic(size) for size in (1, 3 * SLICE, SLICE + 1)]
    for number in range(5):
        for topic in topics:
            recorder.fanout.add(topic, progress(number))
        recorder.fanout.hand_out()

    recorder.finish()

    for topic in topics:
        for viewer in topic.viewers:
            assert recorder.told(viewer) == [f"progress {number}" for number in range(5)]


def test_who_comes_while_an_event_is_on_its_way_is_not_sent_it(recorder: Recorder) -> None:
    topic, late = a_topic(2 * SLICE), a_viewer()
    recorder.fanout.add(topic, progress(1))
    recorder.fanout.hand_out()

    topic.viewers.add(late)
    recorder.fanout.add(topic, progress(2))
    recorder.finish()

    assert recorder.told(late) == ["progress 2"]


def test_when_it_is_full_a_tasks_progress_takes_the_place_of_one_not_begun(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "MOST_SENDS", 3 * SLICE)
    topic = a_topic(2 * SLICE)
    recorder.fanout.add(topic, Event(EventName.STARTED, "started"))
    recorder.fanout.hand_out()

    for number in range(1, 10):
        recorder.fanout.add(topic, progress(number))
    recorder.fanout.add(topic, Event(EventName.COMPLETED, "completed"))
    recorder.finish()

    for viewer in topic.viewers:
        assert recorder.told(viewer) == ["started", "progress 9", "completed"]


def test_a_progress_that_some_have_been_sent_is_sent_to_all(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "MOST_SENDS", 1)
    topic = a_topic(2 * SLICE)
    recorder.fanout.add(topic, progress(1))
    recorder.fanout.hand_out()

    recorder.fanout.add(topic, progress(2))
    recorder.finish()

    for viewer in topic.viewers:
        assert recorder.told(viewer) == ["progress 1", "progress 2"]


@pytest.mark.parametrize(("bound", "size", "text"), [("MOST_SENDS", 100, "x"), ("MOST_BYTES", 1, "x" * 100)])
def test_it_is_full_until_enough_has_gone(
    bound: str, size: int, text: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, bound, 150)
    topics = [a_topic(size) for _ in range(3)]

    for topic in topics:
        assert not recorder.fanout.is_full or topic is topics[-1]
        recorder.fanout.add(topic, Event(EventName.PROGRESS, text))
    assert recorder.fanout.is_full
    recorder.fanout.add(topics[0], Event(EventName.PROGRESS, text))  # takes a place and gives one back
    recorder.finish()

    assert not recorder.fanout.is_full
    assert (recorder.fanout._sends, recorder.fanout._bytes) == (0, 0)
    assert len(recorder.sent) == 3 * size
