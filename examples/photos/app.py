"""Photographs go in by browser, the worker makes thumbnails and a contact sheet, the page watches it happen."""

from pathlib import Path
from uuid import UUID, uuid4

from flask import Blueprint, Flask, Response, abort, current_app, render_template, request, send_from_directory
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException

from minicelery import MiniCelery, RedisUnavailable, TaskContext
from minicelery.web import api_blueprint

from . import images

MOST_PHOTOS = 24
TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif")

celery = MiniCelery("photos")
pages = Blueprint("photos", __name__)


def create_app() -> Flask:
    """The Flask app. Settings come from variables such as ``FLASK_PHOTOS_FOLDER``; web and worker share that folder."""
    app = Flask(__name__)
    app.config["PHOTOS_FOLDER"] = str(Path(app.root_path) / "albums")
    app.config["MAX_CONTENT_LENGTH"] = 100_000_000  # bytes of one upload
    app.config.from_prefixed_env()
    celery.init_app(app)
    app.register_blueprint(pages)
    app.register_blueprint(api_blueprint(), url_prefix="/queue")
    return app


# ---- the task, run by the worker -------------------------------------------------------------------


@celery.task(bind=True, max_retries=3, no_retry_for=(images.NotAPhotograph, ValueError))
def develop(self: TaskContext, titles: list[str]) -> dict[str, object]:
    """Make the thumbnails and the contact sheet of the album that has this task's id.

    It may run twice, after a crash, say. So it writes whole files only, and leaves out those that are there.
    No path comes from its arguments: whoever can reach the API chooses those.
    """
    folder = _folder(str(UUID(self.id)))  # whoever reaches the API may choose an id, but no path by it
    thumbnails = [folder / f"{number}.jpg" for number in range(len(titles))]
    for done, (title, thumbnail) in enumerate(zip(titles, thumbnails, strict=True)):
        self.progress(done, len(titles), f"Developing {title}")
        if not thumbnail.exists():
            _develop_one(thumbnail.with_suffix(".upload"), thumbnail, title)
    self.progress(len(titles), len(titles), "Making the contact sheet")
    images.contact_sheet(thumbnails, folder / "sheet.jpg")
    urls = [f"albums/{self.id}/{path.name}" for path in thumbnails]  # as seen from the page
    return {"thumbnails": urls, "contact_sheet": f"albums/{self.id}/sheet.jpg"}


def _develop_one(source: Path, target: Path, title: str) -> None:
    try:
        images.thumbnail(source, target)
    except images.NotAPhotograph as error:
        raise images.NotAPhotograph(f"{title}: {error}") from error


# ---- the pages, served by the web process ----------------------------------------------------------


@pages.get("/")
def index() -> str:
    """The page."""
    most_bytes = current_app.config["MAX_CONTENT_LENGTH"]
    return render_template("index.html", types=",".join(TYPES), most_photos=MOST_PHOTOS, most_bytes=most_bytes)


@pages.post("/albums")
def upload() -> tuple[dict[str, str], int]:
    """Store the photographs and have them developed. The page watches the task, whose id is the album's, too."""
    photos = [photo for photo in request.files.getlist("photos") if photo.filename]
    if not 0 < len(photos) <= MOST_PHOTOS:
        abort(400, f"Choose 1 to {MOST_PHOTOS} photographs.")
    for photo in photos:  # what is claimed, for a quick answer; the worker looks at what is there
        if photo.mimetype not in TYPES:
            abort(415, f"{photo.filename} is not a photograph: send JPEG, PNG, WebP or GIF.")
    album = str(uuid4())
    folder = _folder(album)
    folder.mkdir(parents=True)
    for number, photo in enumerate(photos):
        photo.save(folder / f"{number}.upload")  # names that users give are shown, and never part of a path
    task = develop.apply_async(([_title(photo) for photo in photos],), task_id=album)
    return {"task_id": task.id}, 202


@pages.get("/albums/<uuid:album>/<name>.jpg")
def picture(album: UUID, name: str) -> Response:
    """A thumbnail or a contact sheet. Uploads themselves are never sent to anybody."""
    return send_from_directory(_folder(str(album)), f"{name}.jpg", max_age=86_400)


@pages.errorhandler(HTTPException)
def explain(error: HTTPException) -> tuple[dict[str, str | None], int]:
    """Why a request was refused, for the page to show."""
    return {"detail": error.description}, error.code or 500


@pages.errorhandler(RedisUnavailable)
def explain_outage(error: RedisUnavailable) -> tuple[dict[str, str], int]:
    """The photographs are here, but can't be queued."""
    return {"detail": "The queue can't be reached at the moment; try again soon."}, 503


@pages.after_request
def harden(response: Response) -> Response:
    """Scripts, styles, images and WebSockets come from here or not at all; files are what we say that they are."""
    response.headers["Content-Security-Policy"] = "default-src 'self'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _title(photo: FileStorage) -> str:
    return "".join(filter(str.isprintable, photo.filename or ""))[:100]


def _folder(album: str) -> Path:
    return Path(current_app.config["PHOTOS_FOLDER"]).absolute() / album


flask_app = create_app()
