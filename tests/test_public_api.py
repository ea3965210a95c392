"""What users can rely on: names, signatures, command-line options, columns and their types, kept in tests/api.txt.

After a change that is meant, write it anew with `python -m tests.test_public_api`, read the difference, and give it a
line in CHANGELOG.md.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import xex

ROOT = Path(__file__).parent.parent
LISTED = Path(__file__).with_name("api.txt")
HEAD = """\
# The public API. Written by `python -m tests.test_public_api`; a difference needs a line in CHANGELOG.md.
"""
OURS = ("xex", "xex_connectors")


# --- writing the list


def api() -> str:
    """Return the whole list as text."""
    from xex.model.schema import SCHEMAS

    lines = [HEAD]
    for module in ("xex", "xex_connectors", "xex.testing"):
        lines += [module, *_indented(_names(importlib.import_module(module))), ""]
    lines += ["command line", *_indented(_commands()), ""]
    for kind, columns in SCHEMAS.items():
        lines += [f"frame {kind}", *(f"    {name}: {dtype}" for name, dtype in columns.items()), ""]
    return "\n".join(lines)


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _names(module: ModuleType) -> Iterator[str]:
    for name in sorted(module.__all__):
        yield from _described(name, getattr(module, name))


def _described(name: str, thing: Any) -> Iterator[str]:
    if isinstance(thing, ModuleType):
        yield f"module {name}"
        yield from _indented(line for member in _public(thing) for line in _described(member, getattr(thing, member)))
    elif inspect.isclass(thing):
        yield from _class(name, thing)
    elif callable(thing):
        yield _function(name, thing)
    elif name == "__version__":
        yield f"{name}: str"
    else:
        yield f"{name} = {thing!r}"


def _public(module: ModuleType) -> list[str]:
    """Return a module's public names: what it says itself, else its functions that answer with a frame."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(
        name
        for name, thing in vars(module).items()
        if inspect.isfunction(thing)
        and not name.startswith("_")
        and inspect.signature(thing).return_annotation == "pd.DataFrame"
    )


def _class(name: str, cls: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object and base.__name__[0] != "_")
    yield f"class {name}({bases})" if bases else f"class {name}"
    if issubclass(cls, enum.Enum):
        yield from (f"    {member} = {value.value!r}" for member, value in cls.__members__.items())
        return
    if dataclasses.is_dataclass(cls):
        yield from (f"    {_field(field)}" for field in dataclasses.fields(cls))
    members: dict[str, Any] = {}
    for owner in reversed(cls.__mro__):
        if owner is cls or (owner.__name__.startswith("_") and owner.__module__.startswith(OURS)):
            members |= {key: value for key, value in vars(owner).items() if _is_member(key, value, cls)}
    for key in sorted(members):
        yield f"    {_member(key, members[key])}"


def _is_member(key: str, value: Any, cls: type) -> bool:
    if key == "__init__":
        return not dataclasses.is_dataclass(cls)
    if key in {"__aenter__", "__aexit__"}:
        return True
    return not key.startswith("_") and (
        inspect.isfunction(value) or isinstance(value, (property, cached_property, classmethod, staticmethod))
    )


def _member(key: str, value: Any) -> str:
    if isinstance(value, property):
        return f"property {key}{_returns(value.fget)}"
    if isinstance(value, cached_property):
        return f"property {key}{_returns(value.func)}"
    if isinstance(value, (classmethod, staticmethod)):
        return f"{type(value).__name__} {_function(key, value.__func__)}"
    return _function(key, value)


def _field(field: dataclasses.Field[Any]) -> str:
    default = field.default
    if not isinstance(default, (str, int, float, type(None), type(dataclasses.MISSING))):
        # A checked dataclass keeps its own description of the field in the default's place.
        made = getattr(default, "default_factory", None)
        default = getattr(default, "default", default) if made is None else made()
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return f"{field.name}: {_annotation(field.type)}" + (
        f" = {default!r}" if default is not dataclasses.MISSING else ""
    )


def _function(name: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    told: list[str] = []
    starred = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            told.append("*")
        starred = starred or parameter.kind in {parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL}
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        star = "**" if parameter.kind is parameter.VAR_KEYWORD else star
        text = f"{star}{parameter.name}"
        if parameter.annotation is not parameter.empty:
            text += f": {_annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}"
        told.append(text)
    prefix = "async def" if inspect.iscoroutinefunction(function) else "def"
    return f"{prefix} {name}({', '.join(told)}){_returns(function)}"


def _returns(function: Any) -> str:
    annotation = inspect.signature(function).return_annotation
    return "" if annotation is inspect.Signature.empty else f" -> {_annotation(annotation)}"


def _annotation(annotation: Any) -> str:
    """Return an annotation as it is written; what checks it at run time is not part of the type."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return re.sub(r"Annotated\[([^,\[\]]+(?:\[[^\]]*\])?), .*\](?= \||$)", r"\1", text)


def _commands() -> Iterator[str]:
    from typer.main import get_command

    from xex.cli import app

    group: Any = get_command(app)
    yield _options("xex", group)
    for name, command in sorted(group.commands.items()):
        yield _options(f"xex {name}", command)


def _options(name: str, command: Any) -> str:
    told = [
        "/".join([*parameter.opts, *parameter.secondary_opts]) if parameter.opts[0].startswith("-") else parameter.name
        for parameter in command.params
        if parameter.opts[0] != "--help"
    ]
    return " ".join([name, *sorted(told)])


# --- the tests


def test_the_list_is_what_the_code_says() -> None:
    assert api().splitlines() == LISTED.read_text(encoding="utf-8").splitlines(), (
        "the public API changed; if that is meant, run `python -m tests.test_public_api` and add a line to CHANGELOG.md"
    )


def test_all_is_exactly_what_is_visible() -> None:
    assert sorted(xex.__all__) == dir(xex)
    assert len(set(xex.__all__)) == len(xex.__all__)


@pytest.mark.parametrize("name", sorted(xex.__all__))
def test_every_public_name_loads(name: str) -> None:
    """In a process that has loaded nothing else, since names load one another."""
    code = f"import xex; assert {name!r} not in vars(xex) or {name!r} == '__version__'; print(xex.{name})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert getattr(xex, name) is not None


def test_a_typo_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="ExchangeManger"):
        getattr(xex, "ExchangeManger")  # noqa: B009  the type checker knows better


def test_the_stated_version_is_the_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == xex.__version__
    assert f"## [{xex.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_column_has_a_known_type() -> None:
    from xex.model import schema

    kinds: Mapping[str, Mapping[str, str]] = schema.SCHEMAS
    known = {schema.TIME, schema.TEXT, schema.NUMBER, schema.FLAG}
    assert {dtype for columns in kinds.values() for dtype in columns.values()} <= known
    for kind, columns in kinds.items():
        made = schema.frame({}, kind)
        assert {name: str(dtype) for name, dtype in made.dtypes.items()} == dict(columns)


def test_the_lowest_versions_are_the_stated_bounds() -> None:
    """Without the bounds of the tools: what they need is the newest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    stated = [*project["dependencies"], *extras["lp"], *extras["parquet"], *extras["plot"]]
    bounds = dict(pair for entry in stated for pair in re.findall(r"^([A-Za-z0-9._-]+)>=([0-9.]+)", entry))
    lines = (Path(__file__).with_name("lowest.txt")).read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert {name: _release(version) for name, version in pinned.items()} == {
        name: _release(version) for name, version in bounds.items()
    }


def _release(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")]
    while numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


if __name__ == "__main__":
    LISTED.write_text(api(), encoding="utf-8")
    sys.stdout.write(f"{LISTED} written\n")
