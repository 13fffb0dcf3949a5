"""One WebSocket over a pair of sockets, with time as an argument."""

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from minicelery.web.socket import Limits, WebSocket, framed

LIMITS = Limits()
NOW = 1_000.0


class Peer:
    """The other end: a client by wsproto."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(10)
        self.protocol = Connection(ConnectionType.CLIENT)

    def say(self, *events: Event) -> None:
        self.sock.sendall(b"".join(self.protocol.send(event) for event in events))

    def received(self) -> list[Event]:
        """All that has come in so far."""
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while data := self.sock.recv(1 << 20):
                self.protocol.receive_data(data)
        self.sock.setblocking(True)
        return list(self.protocol.events())

    def closed_with(self) -> int | None:
        return next((int(event.code) for event in self.received() if isinstance(event, CloseConnection)), None)


@pytest.fixture
def pair() -> Iterator[tuple[WebSocket, Peer]]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):  # small, so that a slow reader is noticed soon
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    web = WebSocket(ours, LIMITS, NOW)
    yield web, Peer(theirs)
    web.dispose()
    theirs.close()


def drain(web: WebSocket, peer: Peer) -> list[Event]:
    """Let the peer read until the socket has nothing more to send."""
    events: list[Event] = []
    while web.wants_to_write:
        events += peer.received()
        web.write(NOW)
    return events + peer.received()


@pytest.mark.parametrize(
    "text", ["", "x", "ü€😀" * 10, "x" * 125, "x" * 126, "y" * 200, "y" * 65_535, "z" * 65_536, "z" * 70_000]
)
def test_a_frame_is_read_by_any_client(text: str, pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair

    web.send(framed(text), NOW)

    messages = [event for event in drain(web, peer) if isinstance(event, TextMessage)]
    assert "".join(message.data for message in messages) == text
    assert messages[-1].message_finished


def test_text_that_is_no_unicode_is_sent_with_replacements() -> None:
    assert framed("a\ud800b") == framed("a?b")


def test_a_ping_is_answered(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    peer.say(Ping(b"hello"))

    web.read(NOW)

    assert peer.received() == [Pong(b"hello")]


def test_our_close_waits_for_the_answer(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair

    web.close(1000, "done", NOW)
    assert peer.received() == [CloseConnection(1000, "done")]
    assert not web.over

    peer.say(CloseConnection(1000, "done"))
    web.read(NOW)
    assert web.over


def test_our_close_waits_for_a_bounded_time(pair: tuple[WebSocket, Peer]) -> None:
    web, _ = pair
    web.close(1000, "done", NOW)

    web.tick(NOW + LIMITS.close_patience - 0.1)
    assert not web.over

    web.tick(NOW + LIMITS.close_patience)
    assert web.over


def test_nothing_is_sent_after_the_close(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    web.close(1000, "done", NOW)

    web.send(framed("late"), NOW)
    web.close(1001, "again", NOW)

    assert peer.received() == [CloseConnection(1000, "done")]


def test_what_is_queued_is_sent_before_the_close(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    web.send(framed("x" * 300_000), NOW)
    web.send(framed("last"), NOW)

    web.close(1000, "done", NOW)

    assert web.due > NOW + LIMITS.close_patience  # the answer can't come before the peer has read so far
    events = drain(web, peer)
    assert [event.data for event in events if isinstance(event, TextMessage)][-1] == "last"
    assert events[-1] == CloseConnection(1000, "done")


def test_the_peers_close_is_answered_and_ends_it(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    peer.say(CloseConnection(4000, "bye"))

    web.read(NOW)

    assert web.over
    assert peer.received() == [CloseConnection(4000, "bye")]


def test_a_peer_that_vanishes_ends_it(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    peer.sock.close()

    web.read(NOW)

    assert web.over


def test_sending_to_a_peer_that_vanished_ends_it(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    peer.sock.close()

    web.send(framed("x"), NOW)

    assert web.over


def test_a_message_above_the_limit_closes_with_1009(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    peer.say(BytesMessage(b"x" * LIMITS.message_bytes))
    web.read(NOW)
    assert not web.is_closing

    peer.say(BytesMessage(b"x" * (LIMITS.message_bytes + 1)))
    web.read(NOW)

    assert peer.closed_with() == 1009


def test_a_message_above_the_limit_in_fragments_closes_with_1009(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair

    for _ in range(5):
        peer.say(TextMessage("ü" * 500, message_finished=False))
        web.read(NOW)

    assert peer.closed_with() == 1009


def test_what_comes_after_the_close_is_thrown_away(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    peer.say(BytesMessage(b"x" * 5_000))
    web.read(NOW)

    for _ in range(100):
        peer.say(BytesMessage(b"y" * 8_000))
        web.read(NOW)

    assert not web.wants_to_write
    assert peer.closed_with() == 1009


def test_ten_messages_a_second_are_welcome(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair

    for tenth in range(600):
        peer.say(TextMessage("hello"))
        web.read(NOW + tenth / 10)

    assert not web.is_closing


def test_a_flood_of_messages_closes_with_1008(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair

    for _ in range(LIMITS.burst + 1):
        peer.say(TextMessage("hello"))
        web.read(NOW)

    assert peer.closed_with() == 1008


def test_a_flood_of_pings_closes_with_1008(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair

    peer.say(*[Ping(b"") for _ in range(LIMITS.burst + 1)])
    web.read(NOW)

    events = peer.received()
    assert len(events) <= LIMITS.burst + 2
    assert isinstance(events[-1], CloseConnection)
    assert events[-1].code == 1008


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"\x81\x02hi", id="without a mask"),
        pytest.param(b"\xc1\x82\x00\x00\x00\x00hi", id="compressed although that was not agreed"),
        pytest.param(b"\x83\x80\x00\x00\x00\x00", id="opcode that does not exist"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
    ],
)
def test_bytes_that_are_no_frame_close_with_1002(garbage: bytes, pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    peer.sock.sendall(garbage)
    web.read(NOW)

    peer.sock.sendall(b"and more of it" * 100)
    web.read(NOW)

    assert peer.closed_with() == 1002


def test_text_that_is_not_utf8_closes_with_1007(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    peer.sock.sendall(b"\x81\x82\x00\x00\x00\x00\xff\xff")

    web.read(NOW)

    assert peer.closed_with() == 1007


def test_half_a_frame_that_the_server_had_read_joins_the_other_half(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    frame = peer.protocol.send(Ping(b"whole"))

    web.feed(frame[:4], NOW)
    peer.sock.sendall(frame[4:])
    web.read(NOW)

    assert peer.received() == [Pong(b"whole")]


def test_one_frame_above_the_limit_of_the_backlog_passes(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    large = "x" * 2_000_000

    web.send(framed(large), NOW)
    web.send(framed(large), NOW)

    assert not web.is_closing
    text = "".join(event.data for event in drain(web, peer) if isinstance(event, TextMessage))
    assert text == large * 2


def test_a_slow_reader_is_cut_off_with_1013_between_two_frames(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    text = "x" * 10_000

    sent = 0
    while not web.is_closing:
        web.send(framed(text), NOW)
        sent += 1

    assert 10_000 * sent < 2 * LIMITS.backlog_bytes
    assert web.due <= NOW + LIMITS.close_patience
    events = drain(web, peer)
    texts = "".join(event.data for event in events if isinstance(event, TextMessage))
    assert texts == text * (len(texts) // 10_000)  # no frame was cut in the middle
    assert events[-1] == CloseConnection(1013, "you read too slowly")


def test_a_slow_reader_who_never_reads_is_reset_in_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
        web = WebSocket(listener.accept()[0], LIMITS, NOW)
        while not web.is_closing:
            web.send(framed("x" * 100_000), NOW)

        web.tick(NOW + LIMITS.close_patience)

        assert web.over
        web.dispose()
        peer.settimeout(10)
        with pytest.raises(ConnectionResetError):
            read_to_the_end(peer)


def read_to_the_end(sock: socket.socket) -> None:
    while sock.recv(1 << 20):
        pass


def test_a_silent_peer_is_pinged_and_then_closed(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    assert web.due == NOW + LIMITS.ping_every

    web.tick(web.due)
    assert peer.received() == [Ping(b"")]
    web.tick(web.due)

    assert peer.closed_with() == 1008
    web.tick(web.due)
    assert web.over


def test_a_peer_that_answers_pings_lives_on(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair

    for _ in range(10):
        web.tick(web.due)
        peer.say(*[event.response() for event in peer.received() if isinstance(event, Ping)])
        web.read(web.due)

    assert not web.is_closing


def test_a_peer_that_listens_and_answers_pings_costs_no_parser_and_no_queue(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair

    for _ in range(3):
        web.send(framed("an event"), NOW)
        web.tick(web.due)
        peer.say(*[event.response() for event in peer.received() if isinstance(event, Ping)])
        web.read(NOW)

    assert not web.is_closing
    assert not web._awaits_pong
    assert (web._parser, web._queue) == (None, None)


def test_a_flood_of_lone_pongs_closes_with_1008(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair

    for _ in range(LIMITS.burst + 1):
        peer.say(Pong(b""))
        web.read(NOW)

    assert peer.closed_with() == 1008


def test_a_queue_that_was_sent_is_let_go(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    web.send(framed("x" * 100_000), NOW)
    assert web.wants_to_write

    drain(web, peer)

    assert web._queue is None


def test_close_codes_of_the_peer_that_do_not_exist_are_refused(pair: tuple[WebSocket, Peer]) -> None:
    web, peer = pair
    peer.sock.sendall(b"\x88\x82\x00\x00\x00\x00" + struct.pack("!H", 999))

    web.read(NOW)

    assert peer.closed_with() == 1002
