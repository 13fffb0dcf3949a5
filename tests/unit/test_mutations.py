"""The catalogue of mutations fits the code: each has its place, its tests, and is a program."""

import ast
from collections import Counter

import pytest
import redis

from minicelery.connection import Clients
from minicelery.linking import link
from tests.mutations.catalogue import MUTATIONS
from tests.mutations.mutation import ROOT, Mutation

EACH = pytest.mark.parametrize("mutation", MUTATIONS, ids=[one.name for one in MUTATIONS])


def test_each_mutation_has_a_name_of_its_own() -> None:
    assert [name for name, times in Counter(one.name for one in MUTATIONS).items() if times > 1] == []


@EACH
def test_a_mutation_has_one_place_and_changes_it(mutation: Mutation) -> None:
    assert mutation.applied_to(ROOT) != (ROOT / mutation.file).read_text(encoding="utf-8")


@EACH
def test_the_tests_of_a_mutation_exist(mutation: Mutation) -> None:
    assert mutation.tests
    for test in mutation.tests:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not name or name in functions


@EACH
def test_a_mutated_file_is_still_a_program(mutation: Mutation, real_clients: Clients) -> None:
    text = mutation.applied_to(ROOT)

    if mutation.file.endswith(".py"):
        ast.parse(text)
        return
    prelude = (ROOT / mutation.file).with_name("prelude.lua").read_text(encoding="utf-8")
    source = text if mutation.file.endswith("prelude.lua") else link(prelude, text)
    try:
        real_clients.commands.script_load(source)
    except redis.ResponseError as error:
        pytest.fail(str(error))
