"""One application with the tasks and the schedules of the runs of limits, locks and schedules."""

from minicelery import MiniCelery

from . import limit_tasks, lock_tasks, schedule_tasks

app = MiniCelery("flow")
for _module in (limit_tasks, lock_tasks, schedule_tasks):
    for _task in _module.app.tasks:
        app.tasks.add(_task)
for _name, _every in schedule_tasks.OF_CODE.items():
    app.periodic(name=_name, every=_every, args=[_name])(schedule_tasks.tick)
