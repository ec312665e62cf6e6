"""Every class, argument, default and attribute of the documentation, by a table that was written by hand."""

from __future__ import annotations

import ast
import inspect
import json
import pickle
import re
from typing import TYPE_CHECKING, Any

import pytest

import umlaut_async
from tests.support import ROOT
from umlaut_async import compat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLE: dict[str, dict[str, dict[str, Any]]] = json.loads((ROOT / "tests" / "data" / "documented_api.json").read_text())
DOCUMENTED, LATER = TABLE["documented"], TABLE["later"]
DOCUMENTATION = ROOT.parent / "shared" / "documented-api.txt"
CLASSES = sorted(DOCUMENTED.keys() | LATER.keys())


def arguments_of(function: Callable[..., object]) -> list[list[Any]]:
    """Return the arguments of a function or class in the form of the table."""
    marks: dict[object, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [
        [marks.get(parameter.kind, "") + name, *([] if parameter.default is parameter.empty else [parameter.default])]
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
    ]


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_the_documented_arguments_and_after_them_those_of_later_versions(name: str) -> None:
    expected = [*DOCUMENTED.get(name, {}).get("arguments", []), *LATER.get(name, {}).get("arguments", [])]
    assert arguments_of(getattr(compat, name)) == expected


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        (name, method, arguments)
        for part in (DOCUMENTED, LATER)
        for name in part
        for method, arguments in part[name]["methods"].items()
    ],
)
def test_a_method_has_the_documented_arguments(name: str, method: str, expected: list[list[Any]]) -> None:
    function = getattr(getattr(compat, name), method)
    assert arguments_of(function) == expected
    assert not inspect.iscoroutinefunction(function)


@pytest.mark.parametrize("mode", ["a", "w", "r"])
def test_the_attributes_are_there_in_every_mode(written: Path, mode: str) -> None:
    from sqlalchemy.orm.session import Session

    with compat.Benchmark(str(written), "mine", mode, name="named") as bm:
        for name in DOCUMENTED["Benchmark"]["attributes"] + LATER["Benchmark"]["attributes"]:
            assert hasattr(bm, name)
        assert (bm.db_file, bm.description, bm.mode, bm.name) == (str(written), "mine", mode, "named")
        assert isinstance(bm.session, Session)
        assert bool(bm.uuid) is (mode != "r")


def test_the_package_offers_these_classes_and_no_others() -> None:
    assert set(compat.__all__) == {*CLASSES, "benchmark", "datamodel", "metrics"}
    for name in CLASSES:
        assert inspect.getdoc(getattr(compat, name))


@pytest.mark.parametrize("name", [name for name in CLASSES if name.endswith("Metric")])
def test_a_metric_is_one_of_the_asynchronous_api_also_after_pickling(name: str) -> None:
    metric = pickle.loads(pickle.dumps(getattr(compat, name)("about it")))
    assert type(metric) is getattr(compat, name)
    assert isinstance(metric, getattr(umlaut_async, name))
    assert (metric.description, metric.measure_type) == ("about it", getattr(umlaut_async, name).measure_type)


def test_the_table_is_that_of_the_documentation() -> None:
    if not DOCUMENTATION.exists():
        pytest.skip("the documentation is not beside this clone")
    assert parsed(DOCUMENTATION.read_text()) == DOCUMENTED


def parsed(documentation: str) -> dict[str, dict[str, Any]]:
    """Return the table that the text of the documentation gives."""
    head, _, rest = documentation.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").partition("Metrics\n")
    parameters, _, attributes = head.partition("Attributes\n")
    defaults = {"optional": [""], "default='a'": ["a"]}
    table: dict[str, dict[str, Any]] = {
        "Benchmark": {
            "arguments": [
                [name, *defaults.get(default, [])]
                for name, default in re.findall(r"^(\w+)str(?:, (.*))?$", parameters, re.MULTILINE)
            ],
            "attributes": re.findall(r"^(\w+?)(?:str|sqlalchemy\..*)$", attributes, re.MULTILINE),
            "methods": {},
        }
    }
    methods: dict[str, list[list[Any]]] = {}
    for of_class, name, arguments in re.findall(r"^(class umlaut\.)?(\w+)\((.*)\)$", rest, re.MULTILINE):
        if of_class:
            methods = {}
            table[name] = {"arguments": split(arguments), "methods": methods}
        else:
            methods[name] = split(arguments)
    return table


def split(arguments: str) -> list[list[Any]]:
    """Return arguments as they are written between brackets, with the values of their defaults."""
    pairs = [argument.strip().partition("=") for argument in arguments.split(",") if argument]
    return [[name, *([ast.literal_eval(default)] if equals else [])] for name, equals, default in pairs]
