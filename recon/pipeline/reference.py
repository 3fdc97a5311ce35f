"""docs/config.md from the configuration classes: `python -m recon.pipeline.reference > docs/config.md`."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from recon.pipeline import schema
from recon.pipeline.config import RunConfig

_HEAD = """# scene.yaml

<!-- Written by `python -m recon.pipeline.reference > docs/config.md`; edit the classes instead. -->

A run is described by one YAML file:

```yaml
images: photos/                 # a folder, a glob pattern, or a list of files
cameras: transforms.json        # known poses; looked for beside the photos when not given
views: {train: 9, test: every-8}
downscale: 4
splats: {iterations: 2000}
output: out/fox
```

- `recon run scene.yaml --set splats.iterations=500` changes one value; `--set` may be repeated and the last one wins.
  Precedence: `--set`, the file, the preset that it names, the defaults below.
- Relative paths start from the folder of the file; in `--set`, from the current folder.
- `${NAME}` is replaced by an environment variable, `${NAME:-text}` has a default, `$${` writes a literal `${`.
- An unknown key, a wrong type or a value out of range is an error that names file, line, key and what was wanted.
- A section that offers several variants, such as `splats.density`, is chosen by its first key; an entry of
  `splats.priors` by its `name`.

A stage whose settings and inputs have not changed is not made again; `--force` makes it again, `--resume` continues
an interrupted optimisation.
"""


def markdown() -> str:
    """The whole page."""
    return _HEAD + "".join(_section(RunConfig, ""))


def _section(cls: type, prefix: str, variant: bool = False) -> Iterator[str]:
    """A table of the class's keys, then those of the classes inside it."""
    title = f"`{prefix.rstrip('.')}`" if prefix else "Top level"
    text = inspect.cleandoc(cls.__doc__ or "")
    descriptions = TypeAdapter(cls).json_schema(mode="validation")
    if variant:
        kinds = ((key, one["const"]) for key, one in descriptions["properties"].items() if "const" in one)
        title += " with `{}: {}`".format(*next(kinds))
    yield f"\n## {title}\n\n{' '.join(text.split())}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
    inner: list[tuple[str, type, bool]] = []
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = field.name
        classes = schema.config_classes(cls, name)
        inner += [(f"{prefix}{name}.", member, len(classes) > 1) for member in classes]
        meaning = _meaning(cls, name)
        listed = descriptions["properties"][name].get("type") == "array"
        kind = "list of sections" if classes and listed else "section" if classes else None
        kind = kind or _kind(descriptions["properties"][name])
        yield f"| `{name}` | {kind} | {_default(field, bool(classes))} | {meaning} |\n"
    for path, member, one_of_several in inner:
        yield from _section(member, path, one_of_several)


def _meaning(cls: type, name: str) -> str:
    """What a key's class says of it, or the nearest base class that does: texts are not inherited with the keys."""
    for base in cls.__mro__:
        if dataclasses.is_dataclass(base) and name in vars(base).get("__annotations__", {}):
            text = TypeAdapter(base).json_schema(mode="validation")["properties"][name].get("description", "")
            if text:
                return " ".join(text.split())
    return ""


def _kind(one: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "anyOf" in one:
        return " or ".join(dict.fromkeys(_kind(option) for option in one["anyOf"]))
    if "const" in one:
        return f"`{one['const']}`"
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"])
    if one.get("format") == "path":
        return "path"
    if one.get("type") == "array":
        return f"list of {_kind(one['items'])}s" if isinstance(one.get("items"), dict) else "list"
    word = {"null": "nothing", "string": "text"}.get(str(one.get("type")), str(one.get("type", "")))
    if "pattern" in one and "every-" in one["pattern"]:
        return "`every-N`"
    bounds = [
        f"{sign} {one[key]:g}"
        for key, sign in (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
        if key in one and abs(one[key]) < 2**53
    ]
    return f"{word} {' and '.join(bounds)}".strip()


def _default(field: dataclasses.Field[Any], section: bool) -> str:
    if section:
        return ""
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        return "required"
    factory: Any = field.default_factory
    value = factory() if field.default is dataclasses.MISSING else field.default
    return "" if value is None else f"`{json.dumps(value, default=str)}`"


if __name__ == "__main__":
    print(markdown(), end="")
