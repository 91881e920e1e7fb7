"""Reading YAML that people wrote: safe, bounded, and with errors that name file and key path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from specs.errors import AdvisorError, SpecError, nearest

MAX_YAML_BYTES = 1024 * 1024


def parse_yaml(text: str, where: str) -> Any:
    """The document in `text`; aliases and custom tags are refused (hostile files grow through them).

    Raises:
        SpecError: too large, not YAML, or using aliases.
    """
    import yaml

    if len(text) > MAX_YAML_BYTES:
        raise SpecError("file too large", where=where, seen=f"{len(text)} bytes", allowed=f"{MAX_YAML_BYTES} bytes")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise SpecError("YAML aliases are not supported", where=where, seen=f"*{event.anchor}")
        return yaml.load(text, Loader=loader)  # noqa: S506 - both loaders are the safe ones
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, AdvisorError):
            raise
        mark = getattr(error, "problem_mark", None)
        line = f"{where}:{mark.line + 1}" if mark else where
        raise SpecError("not valid YAML", where=line, seen=getattr(error, "problem", None) or str(error)) from None


def read_yaml(path: Path) -> Any:
    """The document in the file at `path`."""
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise SpecError("file too large", where=str(path), allowed=f"{MAX_YAML_BYTES} bytes")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise SpecError("cannot read", where=str(path), seen=reason, next="check the path") from None
    return parse_yaml(text, str(path))


class Node:
    """One mapping of a document with the key path that leads to it: reads keys, refuses the unknown ones."""

    def __init__(self, value: Any, where: str, known: str) -> None:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise SpecError("a mapping is needed", where=where, seen=value, allowed=known.replace(" ", ", "))
        self.value: dict[str, Any] = value
        self.where = where
        for key in value:
            if key not in known.split():
                hint = nearest(key, known.split())
                raise SpecError(
                    "unknown key", where=self.at(key), seen=key, allowed=known.replace(" ", ", "), next=hint
                )

    def at(self, key: str) -> str:
        return f"{self.where}{'.' if self.where and not self.where.endswith(': ') else ''}{key}"

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def raw(self, key: str, default: Any = None) -> Any:
        """The value as YAML gave it; SpecError when absent and no default (pass `...` to require)."""
        if key not in self:
            if default is ...:
                raise SpecError("missing key", where=self.at(key))
            return default
        return self.value[key]

    def text(self, key: str, default: Any = ...) -> Any:
        found = self.raw(key, default)
        if found is not default and not isinstance(found, str):
            raise SpecError("text is needed", where=self.at(key), seen=found)
        return found

    def whole(self, key: str, default: Any = ..., low: int = 0, high: int = 10**9) -> Any:
        found = self.raw(key, default)
        if found is default:
            return default
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            raise SpecError("a whole number is needed", where=self.at(key), seen=found, allowed=f"{low} to {high}")
        return found

    def one_of(self, key: str, allowed: tuple[str, ...], default: Any = ...) -> Any:
        found = self.text(key, default)
        if found is not default and found not in allowed:
            hint = nearest(found, allowed)
            raise SpecError("unknown value", where=self.at(key), seen=found, allowed=", ".join(allowed), next=hint)
        return found

    def flag(self, key: str, default: bool = False) -> bool:
        found = self.raw(key, default)
        if not isinstance(found, bool):
            raise SpecError("true or false is needed", where=self.at(key), seen=found)
        return found

    def many(self, key: str) -> list[Any]:
        found = self.raw(key, [])
        if not isinstance(found, list):
            raise SpecError("a list is needed", where=self.at(key), seen=found)
        return found

    @contextmanager
    def here(self, key: str) -> Iterator[None]:
        """Errors raised inside get this key's path."""
        try:
            yield
        except SpecError as error:
            raise error.at(self.at(key)) from None
