"""A real browser, and real processes behind the pages."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.visit import Visit
from tests.stack import Stack

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
)
PATIENCE = 15_000  # milliseconds
ORIENTATION = 0x0112


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """For the tests of this folder only: playwright keeps an event loop running in the main thread."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        reason = "no Chromium on PATH: `apt-get install chromium`, or Chrome, and run the tests again"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        is_root = os.geteuid() == 0
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, chromium_sandbox=not is_root)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A fresh page. The test fails if it wrote to the console, raised, broke its policy or left its site."""
    context = browser.new_context(viewport={"width": 900, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    visit = Visit(page)
    page.on("console", visit.heed_console)
    page.on("pageerror", lambda error: visit.faults.append(f"error: {error}"))
    page.on("request", visit.heed_request)
    page.on("websocket", visit.heed_request)
    page.add_init_script(
        "addEventListener('securitypolicyviolation', event => console.error('policy: ' + event.violatedDirective))"
    )
    try:
        yield visit
    finally:
        context.close()
    assert visit.faults == []


@pytest.fixture(scope="package")
def demo() -> Iterator[Stack]:
    """The API and the demonstration tasks."""
    with Stack() as stack:
        yield stack


@pytest.fixture
def idle(demo: Stack) -> Iterator[Stack]:
    """The demonstration without its worker: the test starts it when the page is ready to see it work."""
    demo.stop_worker()
    yield demo
    if demo.worker_process is None:
        demo.start_worker()


@pytest.fixture(scope="package")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The photos example, without a worker: a test starts it when the page is ready to see it work."""
    folder = str(tmp_path_factory.mktemp("albums"))
    example = "examples.photos.app"
    environ = {"FLASK_PHOTOS_FOLDER": folder, "FLASK_MAX_CONTENT_LENGTH": "5000000"}
    with Stack(wsgi=f"{example}:flask_app", app=f"{example}:celery", environ=environ, worker=False) as stack:
        yield stack


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """Three photographs; the last one lies on its side and says so: 300 × 400 once it is upright."""
    paths = [tmp_path / name for name in ("sea.jpg", "wood.png", "tower.jpg")]
    Image.linear_gradient("L").resize((400, 300)).convert("RGB").save(paths[0])
    Image.radial_gradient("L").resize((400, 300)).convert("RGB").save(paths[1])
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.linear_gradient("L").resize((400, 300)).convert("RGB").save(paths[2], exif=exif)
    return paths
