"""A page, under watch for what a page of ours must not do."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request, WebSocket


@dataclass
class Visit:
    """A page, and what it did that a page of ours must not do. ``expected`` are parts of console lines."""

    page: Page
    faults: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    site: str = ""

    def open(self, url: str) -> Page:
        """Go there. From now on, every request to another host is a fault."""
        self.site = urlsplit(url).netloc
        response = self.page.goto(url)
        assert response is not None
        assert response.ok
        assert "default-src 'self'" in response.headers.get("content-security-policy", "(none)")
        return self.page

    def heed_console(self, message: ConsoleMessage) -> None:
        if not any(part in message.text for part in self.expected):
            self.faults.append(f"console {message.type}: {message.text} {message.location.get('url', '')}")

    def heed_request(self, request: "Request | WebSocket") -> None:
        parts = urlsplit(request.url)
        if parts.netloc != self.site and parts.scheme not in ("data", "blob"):
            self.faults.append(f"request to elsewhere: {request.url}")
