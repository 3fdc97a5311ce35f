"""Questions about the configuration classes, and messages for values that do not fit them."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from recon.errors import ReconError
from recon.pipeline.document import Document, KeyPath


def is_path(root: type, path: KeyPath) -> bool:
    """Whether the value at `path` of the configuration class `root` is a file or folder."""
    return any(_mentions(hint, Path) for hint in _hints_at(root, path))


def known_keys(root: type, path: KeyPath) -> list[str]:
    """Keys that the section at `path` may hold."""
    return sorted({name for hint in _hints_at(root, path) for cls in _classes(hint) for name in _fields(cls)})


def config_classes(cls: type, name: str) -> list[type]:
    """Configuration classes that the field `name` of `cls` may hold; none when it is a plain value."""
    return _classes(_fields(cls)[name])


def explain(error: ValidationError, root: type, document: Document, name: str) -> ReconError:
    """One message for the first thing that is wrong: place, key, what was found, what was wanted."""
    problems = error.errors(include_url=False)
    # A misspelt key explains a missing one, so it comes first; of the members of a union the best fit got deepest.
    problems.sort(
        key=lambda one: (one["type"] != "unexpected_keyword_argument", -len(_real_path(one["loc"], document.data)[0]))
    )
    problem = problems[0]
    path, value, exists = _real_path(problem["loc"], document.data)
    place = document.place(path)
    where = place.source if place else name
    dotted = ".".join(str(part) for part in path)
    if problem["type"] == "unexpected_keyword_argument":
        return _unknown_key(root, path, where, _member(root, path[:-1], problem["loc"]))
    if problem["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        key = str(problem["loc"][-1])
        return ReconError(
            f"{where.rsplit(':', 1)[0]}: key {'.'.join((*map(str, path), key))!r} is missing", fix="add it"
        )
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_member(problem["ctx"], value, f"{where}: {dotted}")
    same = [other for other in problems if _real_path(other["loc"], document.data)[0] == path]
    wanted = list(dict.fromkeys(_wanted(other) for other in same))
    return ReconError(
        f"{where}: {dotted}" if dotted else where,
        found=_show(value) if exists else None,
        wanted=" or ".join(wanted),
        fix="see docs/config.md",
    )


def _unknown_key(root: type, path: KeyPath, where: str, member: type | None) -> ReconError:
    section, key = path[:-1], str(path[-1])
    known = known_keys(root, section) if member is None else sorted(_fields(member))
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    prefix = "".join(f"{part}." for part in section)
    guesses = [prefix + name for name in near]
    if not guesses and member is None:
        # The key may be right and its section wrong.
        every = {".".join(map(str, found)): found[-1] for found in _all_keys(root)}
        guesses = [dotted for dotted, last in every.items() if last == key]
        guesses.sort(key=lambda dotted: dotted.count("."))  # the nearest to the top is the one that people mean
    fix = f"did you mean {guesses[0]!r}?" if guesses else None
    return ReconError(
        f"{where}: unknown key {prefix + key!r}" + ("" if fix else f"; known: {', '.join(known)}"), fix=fix
    )


def _member(root: type, section: KeyPath, location: tuple[int | str, ...]) -> type | None:
    """The class among several that a section of a list is for, where pydantic says which one it took."""
    classes = [cls for hint in _hints_at(root, section) for cls in _classes(hint)]
    named = [cls for cls in classes if str(getattr(cls, "name", "")) in map(str, location)]
    return named[0] if len(classes) > 1 and named else None


def _unknown_member(context: Any, value: Any, where: str) -> ReconError:
    """The entry of a list whose kind, such as the `name` of a prior, is none of those that there are."""
    key = context["discriminator"].strip("'")
    # Pydantic quotes them for people: "'depth', 'normals'".
    known = [tag.strip(" '") for tag in context.get("expected_tags", "").split(",") if tag]
    if "tag" not in context:
        return ReconError(where, found=_show(value), wanted=f"a section with the key {key!r}", fix="see docs/config.md")
    near = difflib.get_close_matches(str(context["tag"]), known, n=1, cutoff=0.4)
    fix = f"did you mean {near[0]!r}?" if near else "see docs/config.md"
    return ReconError(f"{where}: unknown {key} {context['tag']!r}; known: {', '.join(known)}", fix=fix)


def _wanted(problem: Any) -> str:
    """The expectation in words, from pydantic's message."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in ("dataclass_type", "dataclass_exact_type", "dict_type", "model_type"):
        return "a section of keys"
    if kind == "string_pattern_mismatch" and "every-" in str(context.get("pattern")):
        return "`every-N`, such as every-8"
    if kind == "none_required":
        return "nothing"
    if kind in ("tuple_type", "list_type"):
        return "a list"
    if kind == "bool_type":
        return "true or false"
    text: str = problem["msg"]
    for prefix in ("Input should be ", "Value error, ", "Assertion failed, "):
        text = text.removeprefix(prefix)
    return text.replace("a valid ", "a ").replace("a integer", "an integer")


def _show(value: object) -> str:
    shown = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
    kind = {str: "text", int: "integer", float: "number", dict: "section", list: "list", type(None): "nothing"}
    if value is None:
        return "nothing"
    text = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"{text} ({kind[type(value)]})" if type(value) in kind else text


def _real_path(location: tuple[int | str, ...], data: Any) -> tuple[KeyPath, Any, bool]:
    """The part of a pydantic location that exists in `data`, its value, and whether anything was matched.

    Locations also name the members of a union ("int", "tuple[str, ...]"), which are no keys.
    """
    path: list[str | int] = []
    for part in location:
        if isinstance(data, dict) and part in data:
            path.append(part)
            data = data[part]  # type: ignore[index]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
    return tuple(path), data, bool(path)


@lru_cache
def _fields(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {one.name: hints[one.name] for one in dataclasses.fields(cls)}


def _members(hint: Any) -> Iterator[Any]:
    """The plain types inside unions, annotations and containers."""
    origin = get_origin(hint)
    if origin is Annotated:
        yield from _members(get_args(hint)[0])
    elif origin in (Union, types.UnionType, tuple, list, dict):
        for inner in get_args(hint):
            yield from _members(inner)
    else:
        yield hint


def _mentions(hint: Any, wanted: type) -> bool:
    return any(member is wanted for member in _members(hint))


def _classes(hint: Any) -> list[type]:
    return [member for member in _members(hint) if isinstance(member, type) and dataclasses.is_dataclass(member)]


def _hints_at(root: type, path: KeyPath) -> list[Any]:
    hints: list[Any] = [root]
    for part in path:
        if isinstance(part, int):
            continue
        hints = [_fields(cls)[part] for hint in hints for cls in _classes(hint) if part in _fields(cls)]
    return hints


def _all_keys(root: type, above: KeyPath = ()) -> Iterator[KeyPath]:
    for name in known_keys(root, above):
        path = (*above, name)
        yield path
        yield from _all_keys(root, path)
