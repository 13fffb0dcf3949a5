"""An application that shows what reaches a task."""

from typing import Any

from minicelery import MiniCelery

app = MiniCelery("payloads")


@app.task
def echo(*values: Any, **more: Any) -> list[Any]:
    """What came in, and how this process spells it: types, order, and every bit of a float."""
    return [[*values], more, repr(values), repr(more)]
