"""What is done to photographs: thumbnails and contact sheets. Knows neither the web nor the queue."""

import math
import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from uuid import uuid4

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")  # no others are even tried: Pillow hands some to outside programs
MAX_PIXELS = 60_000_000
THUMBNAIL_PIXELS = 320
GAP_PIXELS = 16
PAPER = "white"

# Pillow raises nearly anything on bytes that only pretend to be an image.
_PILLOW_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)


class NotAPhotograph(ValueError):
    """The file can't be used as a photograph, and never will be: there is no point in a retry."""


def thumbnail(source: Path, target: Path) -> None:
    """Write a JPEG of at most ``THUMBNAIL_PIXELS`` each way, turned upright, without EXIF data such as the place.

    Raises ``NotAPhotograph``; an ``OSError`` means that the files can't be read or written right now.
    """
    data = source.read_bytes()
    try:
        image = _small_and_upright(data)
    except _PILLOW_ERRORS as error:
        raise NotAPhotograph(str(error) if isinstance(error, NotAPhotograph) else _explain(error)) from error
    _save(image, target)


def contact_sheet(thumbnails: Sequence[Path], target: Path) -> None:
    """Write one JPEG with all thumbnails in a grid that is about as wide as it is high."""
    columns = math.ceil(math.sqrt(len(thumbnails)))
    rows = math.ceil(len(thumbnails) / columns)
    pitch = THUMBNAIL_PIXELS + GAP_PIXELS
    sheet = Image.new("RGB", (columns * pitch + GAP_PIXELS, rows * pitch + GAP_PIXELS), PAPER)
    for place, path in enumerate(thumbnails):
        row, column = divmod(place, columns)
        with Image.open(path) as image:
            left = GAP_PIXELS + column * pitch + (THUMBNAIL_PIXELS - image.width) // 2
            top = GAP_PIXELS + row * pitch + (THUMBNAIL_PIXELS - image.height) // 2
            sheet.paste(image, (left, top))
    _save(sheet, target)


def _small_and_upright(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:  # said in the header: nothing has been unpacked yet
            raise NotAPhotograph(f"{image.width} × {image.height} pixels are more than {MAX_PIXELS:,}")
        image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
        upright = ImageOps.exif_transpose(image)
    return _on_paper(upright)


def _on_paper(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, PAPER)
    return Image.alpha_composite(paper, image).convert("RGB")


def _explain(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {MAX_PIXELS:,} pixels"
    if isinstance(error, UnidentifiedImageError):
        return f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image"
    return f"a broken image ({error})"


def _save(image: Image.Image, target: Path) -> None:
    """Write all or nothing: neither a run that is cut short nor two at once leave half a file."""
    draft = target.with_name(f"{target.name}.{uuid4().hex}")
    try:
        image.save(draft, "JPEG", quality=85)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
