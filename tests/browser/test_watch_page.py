"""The page that watches any task, in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visit import Visit
from tests.stack import Stack

pytestmark = pytest.mark.browser

LARGE = 12345678901234567


def submit(stack: Stack, name: str, *args: object) -> str:
    answer = stack.post("/tasks", {"name": name, "args": args})
    assert answer.status == 202
    task_id: str = answer.data["task_id"]
    return task_id


def events(page: Page) -> list[str]:
    return page.locator("#log li b").all_text_contents()


def test_a_task_submitted_elsewhere_is_seen_live_to_its_end(idle: Stack, visit: Visit) -> None:
    page = visit.open(f"{idle.url}/watch?task={submit(idle, 'countdown', 10, 0.02)}")
    expect(page.locator("#status")).to_have_text("PENDING")

    idle.start_worker()

    expect(page.locator("#status")).to_have_text("SUCCESS")

    expect(page.get_by_role("heading", name="countdown")).to_be_visible()
    expect(page.locator("#result")).to_have_text('"lift-off"')
    expect(page.locator("#count")).to_have_text("10 of 10")
    assert events(page) == ["connected", "started", *["progress"] * 10, "completed"]
    expect(page.locator("#link")).to_have_text("The task has ended.")


def test_a_failed_task_shows_its_error_and_traceback(demo: Stack, visit: Visit) -> None:
    task_id = submit(demo, "fail", "<b>out of paper</b>")
    page = visit.open(f"{demo.url}/watch")

    page.get_by_label("Task id").fill(task_id)
    page.keyboard.press("Enter")

    expect(page.locator("#status")).to_have_text("FAILED")
    expect(page.locator("#error-type")).to_have_text("RuntimeError")
    expect(page.locator("#error-message")).to_have_text("<b>out of paper</b>")
    page.get_by_text("Traceback", exact=True).click()
    expect(page.locator("#traceback")).to_contain_text("raise RuntimeError(message)")
    expect(page.locator("#traceback")).to_be_visible()


def test_a_retried_task_shows_its_retries(idle: Stack, visit: Visit) -> None:
    page = visit.open(f"{idle.url}/watch?task={submit(idle, 'flaky', 1)}")
    expect(page.locator("#status")).to_have_text("PENDING")

    idle.start_worker()

    expect(page.locator("#result")).to_have_text('"succeeded after 1 retries"')

    expect(page.locator("#retries")).to_have_text("1 retry")
    expect(page.locator("#error-part")).to_be_hidden()
    assert events(page) == ["connected", "started", "retrying", "started", "completed"]


def test_a_task_is_submitted_from_the_page_by_keyboard_alone(demo: Stack, visit: Visit) -> None:
    page = visit.open(f"{demo.url}/watch")
    page.get_by_label("Name").fill("add")

    page.keyboard.press("Tab")
    page.keyboard.insert_text(f"[{LARGE}, 0]")
    page.keyboard.press("Enter")

    expect(page.locator("#result")).to_have_text(str(LARGE))
    expect(page).to_have_url(re.compile(r"\?task=.+"))


def test_a_refused_submission_names_the_field(demo: Stack, visit: Visit) -> None:
    visit.expected.append("status of 422")
    page = visit.open(f"{demo.url}/watch")
    page.get_by_label("Name").fill("ad")

    page.get_by_role("button", name="Submit").click()

    expect(page.get_by_role("alert")).to_contain_text("did you mean 'add'?")
    expect(page.locator("#problem-errors code")).to_have_text("/name")


def test_arguments_that_are_not_json_are_not_sent(demo: Stack, visit: Visit) -> None:
    page = visit.open(f"{demo.url}/watch")
    page.get_by_label("Arguments").fill("[1, ")

    page.get_by_role("button", name="Submit").click()

    expect(page.get_by_role("alert")).to_contain_text("not JSON")


def test_a_task_that_is_not_there_is_said_to_be_missing(demo: Stack, visit: Visit) -> None:
    page = visit.open(f"{demo.url}/watch?task=nothing")

    expect(page.locator("#link")).to_contain_text("There is no such task")
    expect(page.locator("#task")).to_be_hidden()


def test_the_page_comes_back_by_itself_after_the_server_was_away(visit: Visit) -> None:
    with Stack(worker=False) as stack:
        visit.expected.append("WebSocket connection to")
        page = visit.open(f"{stack.url}/watch?task={submit(stack, 'add', 2, 3)}")
        expect(page.locator("#link")).to_have_text("Live.")
        stack.stop_web()
        expect(page.locator("#link")).to_contain_text("next attempt")

        stack.start_web()
        stack.start_worker()

        expect(page.locator("#result")).to_have_text("5")


def test_the_page_works_under_a_prefix(photos: Stack, visit: Visit) -> None:
    answer = photos.post("/queue/tasks", {"name": "develop", "args": [[]]})

    page = visit.open(f"{photos.url}/queue/watch?task={answer.data['task_id']}")

    expect(page.locator("#status")).to_have_text("PENDING")
    expect(page.locator("#link")).to_have_text("Live.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_a_phone(demo: Stack, visit: Visit, scheme: str) -> None:
    visit.page.set_viewport_size({"width": 360, "height": 640})
    visit.page.emulate_media(color_scheme=scheme)
    page = visit.open(f"{demo.url}/watch?task={submit(demo, 'fail', 'x' * 200)}")

    expect(page.locator("#status")).to_have_text("FAILED")

    assert page.evaluate("document.documentElement.scrollWidth") == 360
