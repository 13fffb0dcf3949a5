"""The photos example, as its user sees it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visit import Visit
from tests.stack import Stack

pytestmark = pytest.mark.browser

#: Keeps every value that the progress bar is given.
RECORD_PROGRESS = """
window.seen = [];
document.addEventListener("DOMContentLoaded", () => {
  const bar = document.querySelector("progress");
  new MutationObserver(() => seen.push(bar.getAttribute("value"))).observe(bar, { attributeFilter: ["value"] });
});
"""


@pytest.fixture
def worker(photos: Stack) -> Iterator[Stack]:
    """A worker for the test, which must have ended in order after it."""
    photos.start_worker()
    yield photos
    assert photos.stop_worker() == 0


def upload(page: Page, paths: list[Path]) -> None:
    page.get_by_label("Photographs").set_input_files(paths)
    page.get_by_role("button", name="Upload").click()


def natural_sizes(page: Page, selector: str) -> list[list[int]]:
    """The sizes of images, once each has come or failed."""
    page.wait_for_function("selector => [...document.querySelectorAll(selector)].every(i => i.complete)", arg=selector)
    sizes: list[list[int]] = page.locator(selector).evaluate_all(
        "images => images.map(image => [image.naturalWidth, image.naturalHeight])"
    )
    return sizes


def test_uploaded_photographs_are_developed_before_the_eyes_of_the_user(
    photos: Stack, visit: Visit, photographs: list[Path]
) -> None:
    visit.page.add_init_script(RECORD_PROGRESS)
    page = visit.open(f"{photos.url}/")
    upload(page, photographs)
    expect(page.get_by_role("status")).to_have_text("Waiting for a worker …")

    photos.start_worker()

    expect(page.get_by_role("status")).to_have_text("Done.")
    moves = [float(value) for value in page.evaluate("seen") if value is not None]
    assert moves[:4] == [0, 1, 2, 3]
    assert natural_sizes(page, "#thumbnails img") == [[320, 240], [320, 240], [240, 320]]
    assert natural_sizes(page, "#sheet") == [[2 * 336 + 16, 2 * 336 + 16]]
    assert photos.stop_worker() == 0


def test_a_reloaded_page_shows_its_album_again(worker: Stack, visit: Visit, photographs: list[Path]) -> None:
    page = visit.open(f"{worker.url}/")
    upload(page, photographs[:1])
    expect(page.get_by_role("status")).to_have_text("Done.")

    page.reload()

    expect(page.get_by_role("status")).to_have_text("Done.")
    assert natural_sizes(page, "#thumbnails img") == [[320, 240]]


def test_what_only_claims_to_be_a_photograph_fails_with_a_clear_message(
    worker: Stack, visit: Visit, photographs: list[Path], tmp_path: Path
) -> None:
    fake = tmp_path / "<b>holiday.jpg"
    fake.write_text("no photograph at all")
    page = visit.open(f"{worker.url}/")

    upload(page, [photographs[0], fake])

    expect(page.get_by_role("alert")).to_have_text("<b>holiday.jpg: not a JPEG, PNG, WEBP or GIF image")
    task = worker.get(f"/queue/tasks/{page.url.partition('#')[2]}").data
    assert task["status"] == "FAILED"
    assert task["retry_count"] == 0


def test_another_type_of_file_is_refused_at_the_door(
    photos: Stack, visit: Visit, photographs: list[Path], tmp_path: Path
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear reader")
    visit.expected.append("status of 415")
    page = visit.open(f"{photos.url}/")

    upload(page, [photographs[0], letter])

    expect(page.get_by_role("alert")).to_have_text(re.compile("letter.txt is not a photograph"))


def test_too_much_at_once_is_refused_before_it_is_sent(photos: Stack, visit: Visit, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(5_000_001))
    page = visit.open(f"{photos.url}/")

    upload(page, [large])

    expect(page.get_by_role("alert")).to_have_text("Choose fewer: 5.0 MB are more than 5.0 MB at once.")


def test_the_page_leads_to_the_task_behind_it(worker: Stack, visit: Visit, photographs: list[Path]) -> None:
    page = visit.open(f"{worker.url}/")
    upload(page, photographs[:1])
    expect(page.get_by_role("status")).to_have_text("Done.")

    page.get_by_role("link", name="The task behind it").click()

    expect(page.get_by_role("heading", name="develop")).to_be_visible()
    expect(page.locator("#result")).to_contain_text("sheet.jpg")
