"""The OpenAPI document and its page."""

import re
from collections.abc import Iterator
from typing import Any

import marshmallow as ma
import pytest
from flask import Flask
from flask.testing import FlaskClient

from minicelery import MiniCelery
from minicelery.web.documentation import OPERATIONS


def test_the_document_describes_every_route_of_the_api_and_no_other(flask_app: Flask) -> None:
    served = {
        (method.lower(), re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in flask_app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint.startswith("minicelery.") and not rule.websocket
    }
    pages = {path for _, path in served if path.startswith(("/docs", "/static", "/watch", "/openapi", "/ws/"))}

    assert {(op.method, op.path) for op in OPERATIONS} == {(m, p) for m, p in served if p not in pages}


def test_the_document_is_openapi_with_the_schemas_of_requests_and_answers(http: FlaskClient) -> None:
    document = http.get("/openapi.json").json

    assert document["openapi"] == "3.1.0"
    submission = document["components"]["schemas"]["Submission"]
    assert submission["required"] == ["name"]
    assert set(document["paths"]["/tasks"]["post"]["responses"]) >= {"202", "400", "403", "413", "415", "422", "503"}
    assert "403" in document["paths"]["/queue/dead-letter/{task_id}"]["delete"]["responses"]
    assert "task_id" in document["components"]["schemas"]["Problem"]["properties"]


def _fields(fields: dict[str, ma.fields.Field[Any]], pointer: str = "") -> Iterator[tuple[str, ma.fields.Field[Any]]]:
    """The fields of a schema, and those within them, by their pointers."""
    for name, field in fields.items():
        yield f"{pointer}/{name}", field
        inner = {"0": field.inner} if isinstance(field, ma.fields.List) else {}
        yield from _fields(field.schema.fields if isinstance(field, ma.fields.Nested) else inner, f"{pointer}/{name}")


@pytest.mark.parametrize("body", [op.body for op in OPERATIONS if op.body])
def test_of_a_field_that_is_null_it_is_said_what_it_should_be(body: type[ma.Schema]) -> None:
    for pointer, field in _fields(body().fields):
        if not field.allow_none:
            with pytest.raises(ma.ValidationError) as refused:
                field.deserialize(None)
            assert "give " in str(refused.value), pointer


def test_the_document_tells_which_bodies_may_be_left_out(http: FlaskClient, app: MiniCelery) -> None:
    app.schedules.add("it", app.tasks.find("add").s(1, 2), every=60)
    told = http.get("/openapi.json").json["paths"]
    required = {}
    answered = {}
    for operation in OPERATIONS:
        if operation.body:
            path = operation.path.replace("{name}", "it")
            required[path] = told[operation.path][operation.method]["requestBody"]["required"]
            answered[path] = http.open(path, method=operation.method.upper()).status_code

    assert {path: status in (415, 422) for path, status in answered.items()} == required


def test_the_document_tells_which_routes_take_an_idempotency_key(http: FlaskClient) -> None:
    paths = http.get("/openapi.json").json["paths"]
    taking = {
        path: operation["responses"]["202"]["headers"]
        for path, operations in paths.items()
        for operation in operations.values()
        if "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]]
    }

    assert set(taking) == {"/tasks", "/tasks/batch"}
    assert all("Idempotent-Replayed" in headers for headers in taking.values())


def test_the_page_and_its_files_come_from_here(http: FlaskClient) -> None:
    page = http.get("/docs")

    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href|data-document)="([^"]+)"', page.text)
    assert len(addresses) == 5
    for address in addresses:
        assert address.startswith("/")
        with http.get(address) as response:
            assert response.status_code == 200
    assert not re.search(r"https?://", page.text)


def test_the_root_leads_to_the_documentation(http: FlaskClient) -> None:
    assert http.get("/").headers["Location"] == "/docs"
    with http.get("/watch") as page:
        assert page.status_code == 200
