"""Which pages may talk to us."""

import pytest

from minicelery.web.origin import may_come


@pytest.mark.parametrize(
    ("origin", "scheme", "host", "allowed", "expected"),
    [
        (None, "http", "shop.example", (), True),
        ("http://shop.example", "http", "shop.example", (), True),
        ("http://shop.example:80", "http", "shop.example", (), True),
        ("https://shop.example", "http", "shop.example", (), True),
        ("http://shop.example", "https", "shop.example", (), False),
        ("http://shop.example:81", "http", "shop.example", (), False),
        ("https://evil.example", "https", "shop.example", (), False),
        ("https://shop.example.evil.example", "https", "shop.example", (), False),
        ("null", "http", "shop.example", (), False),
        ("http://[", "http", "shop.example", (), False),
        ("https://Friend.example", "https", "shop.example", ("https://friend.example/",), True),
        ("https://evil.example", "https", "shop.example", ("*",), True),
    ],
)
def test_a_page_may_come_from_here_and_from_where_the_settings_say(
    origin: str | None, scheme: str, host: str, allowed: tuple[str, ...], expected: bool
) -> None:
    assert may_come(origin, scheme, host, allowed) is expected
