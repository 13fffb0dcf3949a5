"""The interactive documentation, in a real browser."""

import pytest
from playwright.sync_api import expect

from minicelery.web.documentation import OPERATIONS
from tests.browser.visit import Visit
from tests.stack import Stack

pytestmark = pytest.mark.browser


def test_the_documentation_shows_every_route_and_sends_a_task(demo: Stack, visit: Visit) -> None:
    page = visit.open(f"{demo.url}/docs")

    expect(page.locator(".opblock")).to_have_count(len(OPERATIONS))
    page.locator(".opblock-post", has_text="Submit a task").click()
    page.get_by_role("button", name="Try it out").click()
    page.locator("textarea.body-param__text").fill('{"name": "add", "args": [1, 2]}')
    page.get_by_role("button", name="Execute").click()

    expect(page.locator(".live-responses-table")).to_contain_text('"status": "PENDING"')
