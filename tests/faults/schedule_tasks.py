"""An application whose code has schedules."""

from minicelery import MiniCelery

app = MiniCelery("schedules")
#: name → seconds, of those in the code and of those that a run adds.
OF_CODE = {f"code-{number}": 1 + 4 * (number % 2) for number in range(10)}
ADDED = {f"added-{number}": 1 + 4 * (number % 2) for number in range(10)}


@app.task
def tick(name: str) -> str:
    return name


for _name, _every in OF_CODE.items():
    app.periodic(name=_name, every=_every, args=[_name])(tick)
