"""Another application on the same queue: it knows some of the names only."""

from minicelery import MiniCelery

app = MiniCelery("other")


@app.task
def add(x: int, y: int) -> int:
    return x + y
