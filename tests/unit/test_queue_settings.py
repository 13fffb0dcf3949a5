"""What the code may say of queues."""

from datetime import timedelta
from typing import Any

import pytest

from minicelery import MiniCelery
from minicelery.config import Config
from minicelery.errors import InvalidInput
from minicelery.queue_settings import QueueSettings
from minicelery.worker.order import Hello, report


@pytest.fixture
def app() -> MiniCelery:
    return MiniCelery("shop")


def test_a_queue_is_declared_by_its_name_which_a_task_may_take(app: MiniCelery) -> None:
    @app.task(queue=app.queue("mail", concurrency=3, ageing=60))
    def send() -> None: ...

    assert send.settings.queue == "mail"
    assert app.queues.texts() == {"mail": "3:60.000"}


def test_what_is_not_said_is_left_out(app: MiniCelery) -> None:
    app.queue("mail", concurrency=3)
    app.queue("reports", ageing=0.5)

    assert app.queues.texts() == {"mail": "3:", "reports": ":0.500"}


def test_settings_that_are_replaced_leave_what_was_declared(app: MiniCelery) -> None:
    app.queue("mail", concurrency=3)
    app.configure(namespace="other")

    assert app.queues.texts() == {"mail": "3:"}


@pytest.mark.parametrize("settings", [QueueSettings(3, 60.0), QueueSettings(3), QueueSettings(None, 2678400.0)])
def test_what_is_said_comes_back_from_its_text_as_it_was(settings: QueueSettings) -> None:
    assert QueueSettings.read(settings.text) == QueueSettings.read(f"{settings.text} 5: :7.000") == settings


def test_a_queue_is_declared_once(app: MiniCelery) -> None:
    app.queue("mail", concurrency=3)

    with pytest.raises(InvalidInput, match="in one place"):
        app.queue("mail", ageing=60)


@pytest.mark.parametrize(
    ("name", "options", "pointer"),
    [
        ("a b", {"concurrency": 1}, "/queue"),
        ("dead_letter", {"concurrency": 1}, "/queue"),
        ("mail", {}, "/concurrency"),
        ("mail", {"concurrency": 0}, "/concurrency"),
        ("mail", {"concurrency": 1.5}, "/concurrency"),
        ("mail", {"ageing": 0}, "/ageing"),
        ("mail", {"ageing": True}, "/ageing"),
        ("mail", {"ageing": "60"}, "/ageing"),
        ("mail", {"ageing": float("nan")}, "/ageing"),
        ("mail", {"ageing": 1e9}, "/ageing"),
        ("mail", {"ageing": timedelta(seconds=1)}, "/ageing"),
        ("mail", {"agein": 60}, "/agein"),
    ],
)
def test_what_has_no_sense_is_named(app: MiniCelery, name: str, options: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        app.queue(name, **options)

    assert refused.value.pointer == pointer
    assert app.queues.texts() == {}


def test_a_child_tells_its_parent_what_its_code_says() -> None:
    hello = Hello(config=Config(), queue_settings={"mail": "3:60.000"})

    assert report(hello.dump().decode()) == hello
