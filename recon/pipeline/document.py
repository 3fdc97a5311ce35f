"""YAML that remembers where every key stood, with environment variables expanded."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from recon.errors import ReconError

KeyPath = tuple[str | int, ...]

# ${NAME} or ${NAME:-default}; $${ writes a literal ${.
_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{[^}]*\}?")


@dataclass(frozen=True)
class Place:
    """Where a value comes from."""

    source: str
    """What to print: "scene.yaml:12" or "--set splats.iterations=5"."""
    folder: Path
    """Folder that relative paths in this value start from."""


@dataclass(frozen=True)
class Document:
    """Plain data and where each of its keys came from."""

    data: dict[str, Any] = field(default_factory=dict)
    places: Mapping[KeyPath, Place] = field(default_factory=dict)

    def place(self, path: KeyPath) -> Place | None:
        """Place of the key at `path`, or of the nearest section around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return None

    def overlaid(self, other: Document) -> Document:
        """This document with the values of `other` on top: sections merge, everything else is replaced."""
        places = dict(self.places)

        def drop(path: KeyPath) -> None:
            for old in [old for old in places if old[: len(path)] == path]:
                del places[old]

        def merge(below: dict[str, Any], above: dict[str, Any], path: KeyPath) -> dict[str, Any]:
            merged = dict(below)
            for key, value in above.items():
                here = (*path, key)
                if isinstance(value, dict) and isinstance(below.get(key), dict):
                    merged[key] = merge(below[key], value, here)
                else:
                    drop(here)
                    merged[key] = value
            return merged

        data = merge(self.data, other.data, ())
        return Document(data, {**places, **other.places})


class _Loader(yaml.SafeLoader):
    """Safe YAML with two traps of YAML 1.1 removed: `1e-3` is a number and a date is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def expand_variables(text: str, place: str, environment: Mapping[str, str] = os.environ) -> str:
    """Replace `${NAME}` and `${NAME:-default}` in `text`; an unset name without a default is an error."""

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match[0] == "$${":
            return "${"
        if name is None:
            raise ReconError(
                f"{place}: malformed variable in {text!r}",
                found=match[0],
                wanted="${NAME} or ${NAME:-default}",
                fix="write $${ for a literal ${",
            )
        # As in a shell, `:-` also replaces a variable that is set to nothing.
        found = environment.get(name) or default
        if found is None:
            raise ReconError(
                f"{place}: environment variable {name} is not set or empty, in {text!r}",
                fix=f"run `export {name}=...` first, or write a default as ${{{name}:-some/folder}}",
            )
        return found

    return _VARIABLE.sub(value, text)


def load_yaml(path: Path) -> Document:
    """Read the mapping in a YAML file. Errors name the file and the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ReconError(f"{path}: no such file", fix="give the path of a scene.yaml; see docs/config.md") from None
    except IsADirectoryError:
        raise ReconError(f"{path}: this is a folder", wanted="a scene.yaml", fix="see docs/config.md") from None
    except UnicodeDecodeError as error:
        raise ReconError(f"{path}: not a text file in UTF-8 ({error.reason})", wanted="YAML") from None
    except OSError as error:
        raise ReconError(
            f"{path}: cannot be read: {error.strerror}", fix="check the path and its permissions"
        ) from None
    return parse_yaml(text, str(path), path.resolve().parent)


def parse_yaml(text: str, name: str, folder: Path, *, numbered: bool = True) -> Document:
    """Parse YAML `text`. `name` stands before the line number in messages; `folder` anchors relative paths."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return Document()
        places: dict[KeyPath, Place] = {}
        data = _build(loader, root, (), places, lambda node: _place(node, name, folder, numbered), ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark and numbered else name
        line = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
        fix = 'inside { } or [ ] quote values that hold ${...}: "${NAME}"' if "${" in line else "see docs/config.md"
        raise ReconError(f"{where}: not valid YAML: {error.problem or error.context}", fix=fix) from None
    except yaml.YAMLError as error:
        raise ReconError(f"{name}: not valid YAML: {error}", fix="see docs/config.md") from None
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        raise ReconError(f"{name}: the file holds {_kind(data)}", wanted="keys such as `images: photos/`")
    return Document(data, places)


def parse_value(text: str, place: Place) -> tuple[Any, dict[KeyPath, Place]]:
    """The YAML value in `text`, as on the right of `--set key=value`, with the places of keys inside it."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, {(): place}
        places: dict[KeyPath, Place] = {}
        return _build(loader, root, (), places, lambda node: place, ()), places
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        raise ReconError(f"{place.source}: the value is not valid YAML: {problem}", fix="quote it") from None
    finally:
        loader.dispose()


def _place(node: yaml.Node, name: str, folder: Path, numbered: bool) -> Place:
    return Place(f"{name}:{node.start_mark.line + 1}" if numbered else name, folder)


def _kind(value: object) -> str:
    return {list: "a list", type(None): "nothing"}.get(type(value), f"{value!r}")


def _build(loader: _Loader, node: yaml.Node, path: KeyPath, places: dict, place_of: Any, above: tuple) -> Any:
    """Plain data of `node`; fills `places`. `above` holds the nodes around it, to catch an alias to itself."""
    place = place_of(node)
    places.setdefault(path, place)
    if any(node is outer for outer in above):
        raise ReconError(f"{place.source}: the YAML alias refers to itself", fix="write the value out")
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        # Keys taken in by `<<` come first and may be written again.
        merges = any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value)
        loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key_place = place_of(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise ReconError(f"{key_place.source}: a key must be a word", fix="see docs/config.md")
            key = str(key_node.value)
            if key in result and not merges:
                raise ReconError(
                    f"{key_place.source}: key {key!r} is given twice (first at {places[(*path, key)].source})",
                    fix="keep one of them",
                )
            places[(*path, key)] = key_place
            result[key] = _build(loader, value_node, (*path, key), places, place_of, above)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [
            _build(loader, child, (*path, index), places, place_of, above) for index, child in enumerate(node.value)
        ]
    if isinstance(node, yaml.ScalarNode) and isinstance(node.value, str) and "${" in node.value:
        text = expand_variables(node.value, place.source)
        # A plain scalar gets its type after the expansion, so that ${N:-500} can be a number.
        tag = loader.resolve(yaml.ScalarNode, text, (True, False)) if node.style is None else node.tag
        node = yaml.ScalarNode(tag, text, node.start_mark, node.end_mark, node.style)
    try:
        value = loader.construct_object(node, deep=True)
        # 2e4 is how people write a number of iterations; 2.0e4 stays a real number.
        whole = isinstance(value, float) and "." not in node.value and value.is_integer()
        return int(value) if whole else value
    except ValueError as error:
        raise ReconError(f"{place.source}: {error}", fix="quote the value if it is a text") from None
