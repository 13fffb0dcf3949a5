"""What a Flask app does to hand tasks to Celery, as its documentation has it."""

from celery.result import AsyncResult
from flask import Flask, jsonify, request
from with_celery import app as queue

app = Flask(__name__)


@app.post("/tasks")
def submit():
    task = request.get_json()
    if not is_call(task):
        return {"error": "name has to be a known task, and args a list"}, 422
    result = queue.send_task(task["name"], task["args"])
    return {"task_id": result.id}, 201


@app.post("/tasks/batch")
def submit_batch():
    """Celery has no way to send many: one after the other, over one connection."""
    tasks = request.get_json()["tasks"]
    if not all(map(is_call, tasks)):
        return {"error": "name has to be a known task, and args a list"}, 422
    with queue.producer_or_acquire() as producer:
        ids = [queue.send_task(task["name"], task["args"], producer=producer).id for task in tasks]
    return {"count": len(ids), "task_ids": ids}, 201


@app.get("/tasks/<task_id>")
def task(task_id):
    found = AsyncResult(task_id, app=queue)
    return jsonify(task_id=task_id, status=found.status, result=found.result)


def is_call(task):
    return isinstance(task, dict) and task.get("name") in queue.tasks and isinstance(task.get("args"), list)
