"""The photos example without its processes: what is done to images, and what is refused at the door."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from examples.photos import images
from examples.photos.app import MOST_PHOTOS, create_app, develop
from minicelery import TaskContext

ORIENTATION, GPS = 0x0112, 0x8825


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_app()
    app.config["PHOTOS_FOLDER"] = str(tmp_path / "albums")
    app.config["MAX_CONTENT_LENGTH"] = 100_000
    with app.app_context():
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def save(path: Path, size: tuple[int, int], mode: str = "RGB", **options: Any) -> Path:
    Image.new(mode, size).save(path, **options)
    return path


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


ALBUM = "4b2c1a50-7d2e-4a53-9d2f-3f2f1c1b0a99"


def context(task_id: str) -> TaskContext:
    return TaskContext(task_id, "develop", "default", "token", 0, 3, lambda *report: True)


# ---- images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"), [((1600, 1200), (320, 240)), ((100, 1000), (32, 320)), ((20, 10), (20, 10))]
)
def test_a_thumbnail_keeps_its_shape_and_is_never_enlarged(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    source = save(tmp_path / "photo.jpg", size)

    images.thumbnail(source, tmp_path / "small.jpg")

    assert size_of(tmp_path / "small.jpg") == expected


def test_a_photograph_that_lies_on_its_side_is_turned_upright_and_loses_its_place(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[GPS] = {1: "N", 2: (52.0, 31.0, 0.0)}
    source = save(tmp_path / "photo.jpg", (400, 300), exif=exif)

    images.thumbnail(source, tmp_path / "small.jpg")

    with Image.open(tmp_path / "small.jpg") as small:
        assert small.size == (240, 320)
        assert not small.getexif()


@pytest.mark.parametrize(
    ("mode", "extension"),
    [("RGB", "webp"), ("P", "gif"), ("L", "png"), ("LA", "png"), ("RGBA", "png"), ("I;16", "png"), ("CMYK", "jpg")],
)
def test_every_kind_of_image_becomes_a_jpeg(tmp_path: Path, mode: str, extension: str) -> None:
    source = save(tmp_path / f"photo.{extension}", (40, 30), mode)

    images.thumbnail(source, tmp_path / "small.jpg")

    with Image.open(tmp_path / "small.jpg") as small:
        assert (small.format, small.mode, small.size) == ("JPEG", "RGB", (40, 30))


def test_what_is_transparent_shows_the_paper(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 30), (0, 0, 0, 0)).save(tmp_path / "photo.png")

    images.thumbnail(tmp_path / "photo.png", tmp_path / "small.jpg")

    with Image.open(tmp_path / "small.jpg") as small:
        assert small.getpixel((20, 15)) == (255, 255, 255)


@pytest.mark.parametrize("content", [b"", b"no photograph", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_image_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photo.jpg").write_bytes(content)

    with pytest.raises(images.NotAPhotograph, match="not a JPEG, PNG, WEBP or GIF image"):
        images.thumbnail(tmp_path / "photo.jpg", tmp_path / "small.jpg")

    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_an_image_that_was_cut_off_is_refused_in_words(tmp_path: Path) -> None:
    whole = save(tmp_path / "photo.png", (400, 300)).read_bytes()
    (tmp_path / "photo.png").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(images.NotAPhotograph, match="a broken image"):
        images.thumbnail(tmp_path / "photo.png", tmp_path / "small.jpg")


@pytest.mark.parametrize("side", [8_000, 10_000, 20_000], ids=["for us", "for Pillow's warning", "for Pillow's error"])
def test_a_small_file_that_unpacks_to_too_many_pixels_is_refused(tmp_path: Path, side: int) -> None:
    bomb = save(tmp_path / "photo.png", (1, 1), "1").read_bytes()
    sides = side.to_bytes(4, "big") * 2
    (tmp_path / "photo.png").write_bytes(_with_header(bomb, sides))

    with pytest.raises(images.NotAPhotograph, match="more than 60,000,000"):
        images.thumbnail(tmp_path / "photo.png", tmp_path / "small.jpg")


def _with_header(png: bytes, sides: bytes) -> bytes:
    """The same PNG, but for the width and height that it claims."""
    chunk = png[12:16] + sides + png[24:29]
    return png[:12] + chunk + crc32(chunk).to_bytes(4, "big") + png[33:]


def test_a_file_that_is_not_there_is_no_bad_photograph(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        images.thumbnail(tmp_path / "photo.jpg", tmp_path / "small.jpg")


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (3, 2, 2), (5, 3, 2), (24, 5, 5)])
def test_a_contact_sheet_is_about_as_wide_as_it_is_high(tmp_path: Path, count: int, columns: int, rows: int) -> None:
    thumbnail = save(tmp_path / "small.jpg", (320, 240))

    images.contact_sheet([thumbnail] * count, tmp_path / "sheet.jpg")

    assert size_of(tmp_path / "sheet.jpg") == (columns * 336 + 16, rows * 336 + 16)


# ---- the task --------------------------------------------------------------------------------------


def test_a_second_run_leaves_what_is_there_and_gives_the_same_result(app: Flask) -> None:
    folder = Path(app.config["PHOTOS_FOLDER"]) / ALBUM
    folder.mkdir(parents=True)
    save(folder / "0.upload", (400, 300), format="PNG")
    first = develop.function(context(ALBUM), ["sea.png"])
    (folder / "0.upload").unlink()

    second = develop.function(context(ALBUM), ["sea.png"])

    assert second == first
    assert first == {"thumbnails": [f"albums/{ALBUM}/0.jpg"], "contact_sheet": f"albums/{ALBUM}/sheet.jpg"}
    assert {path.name for path in folder.iterdir()} == {"0.jpg", "sheet.jpg"}


def test_a_broken_photograph_is_named_as_its_owner_names_it(app: Flask) -> None:
    folder = Path(app.config["PHOTOS_FOLDER"]) / ALBUM
    folder.mkdir(parents=True)
    (folder / "0.upload").write_text("no photograph")

    with pytest.raises(images.NotAPhotograph, match=re.escape("sea.png: not a JPEG")) as refusal:
        develop.function(context(ALBUM), ["sea.png"])

    assert not develop.policy.covers(refusal.value)


@pytest.mark.parametrize("task_id", ["..", "holiday", "a:b"])
def test_an_id_that_is_no_albums_leads_nowhere(app: Flask, task_id: str) -> None:
    with pytest.raises(ValueError, match="UUID") as refusal:
        develop.function(context(task_id), ["sea.png"])

    assert not develop.policy.covers(refusal.value)


# ---- at the door -----------------------------------------------------------------------------------


def upload(client: FlaskClient, *photos: tuple[bytes, str]) -> tuple[int, str]:
    answer = client.post("/albums", data={"photos": [(BytesIO(content), name) for content, name in photos]})
    return answer.status_code, answer.get_json()["detail"]


def test_an_upload_above_the_limit_is_refused(client: FlaskClient, app: Flask) -> None:
    status, detail = upload(client, (bytes(100_001), "sea.jpg"))

    assert status == 413
    assert "exceeds" in detail
    assert not Path(app.config["PHOTOS_FOLDER"]).exists()


def test_another_type_of_file_is_refused_by_name(client: FlaskClient, app: Flask) -> None:
    status, detail = upload(client, (b"", "sea.jpg"), (b"Dear reader", "letter.txt"))

    assert (status, detail) == (415, "letter.txt is not a photograph: send JPEG, PNG, WebP or GIF.")
    assert not Path(app.config["PHOTOS_FOLDER"]).exists()


@pytest.mark.parametrize("count", [0, MOST_PHOTOS + 1])
def test_none_or_too_many_at_once_are_refused(client: FlaskClient, count: int) -> None:
    assert upload(client, *[(b"", "sea.jpg")] * count) == (400, f"Choose 1 to {MOST_PHOTOS} photographs.")


@pytest.mark.parametrize("path", ["{album}/0.upload", "{album}/0.JPG", "{album}/..%2Fsecret.jpg", "../secret.jpg"])
def test_nothing_but_finished_pictures_is_served(client: FlaskClient, app: Flask, path: str) -> None:
    album, albums = str(uuid4()), Path(app.config["PHOTOS_FOLDER"])
    (albums / album).mkdir(parents=True)
    for place in (albums / album / "0.upload", albums / album / "0.jpg", albums / "secret.jpg"):
        place.write_bytes(b"picture")

    with client.get(f"/albums/{album}/0.jpg") as answer:
        assert answer.data == b"picture"
    assert client.get(f"/albums/{path.format(album=album)}").status_code == 404
