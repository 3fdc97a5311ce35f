"""One decorator that makes a typed, validated, frozen configuration class."""

from __future__ import annotations

from typing import TypeVar, dataclass_transform

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as pydantic_dataclass

T = TypeVar("T")

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[T]) -> type[T]:
    """Make `cls` a frozen keyword-only dataclass whose fields are checked by type when it is built.

    Unknown keys, wrong types and non-finite numbers raise `pydantic.ValidationError`, which the
    configuration loader turns into one message with the file's line. Nest freely: a field that is itself
    a config is built from a mapping. The string under a field is its help text.
    """
    return pydantic_dataclass(cls, frozen=True, kw_only=True, config=_STRICT)  # type: ignore[return-value]
