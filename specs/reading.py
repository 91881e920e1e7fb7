"""Reading YAML that people wrote: safe, bounded, and with errors that name file and key path."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from specs.errors import SpecError, nearest

MAX_YAML_BYTES = 1024 * 1024
MAX_DEPTH = 32
EMPTY = "empty list: nothing is left to choose from"
_MAX_INTEGER = 2**63

# YAML 1.1 without its traps: `no` and `on` stay text, and so do `10:30` (not 630), `010` (not 8) and dates.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + word: float(sign + "inf") for word in (".inf", ".Inf", ".INF") for sign in ("", "+", "-")},
}


def parse_yaml(text: str, where: str) -> Any:
    """The document in `text`; aliases, tags and deep nesting are refused (hostile files grow through them).

    Raises:
        SpecError: too large, not YAML, a key given twice, or one of the above.
    """
    import yaml

    if len(text) > MAX_YAML_BYTES:
        raise SpecError("file too large", where=where, seen=f"{len(text)} bytes", allowed=f"{MAX_YAML_BYTES} bytes")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        # Events come one by one, so that what is refused here never grows into a document.
        for event in yaml.parse(text, Loader=loader):
            line = f"{where}:{event.start_mark.line + 1}" if event.start_mark else where
            if isinstance(event, yaml.AliasEvent):
                raise SpecError("YAML aliases are not supported", where=line, seen=f"*{event.anchor}")
            if (tag := getattr(event, "tag", None)) is not None:
                raise SpecError("YAML tags are not supported", where=line, seen=tag)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise SpecError("nested too deeply", where=line, allowed=f"{MAX_DEPTH} levels")
        root = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        parts = (getattr(error, "context", None), getattr(error, "problem", None) or getattr(error, "reason", None))
        line = f"{where}:{mark.line + 1}" if mark else where
        seen = ", ".join(filter(None, parts)) or str(error)
        raise SpecError("not valid YAML", where=line, seen=seen, next=_remedy(text, mark)) from None
    except UnicodeError:
        raise SpecError("not valid YAML", where=where, seen="characters that are not Unicode text") from None
    return None if root is None else _value(root, where, "")


def _remedy(text: str, mark: Any) -> str:
    """What to do about text that is no YAML; `mark` is where it ends to be."""
    lines = text.splitlines()[: mark.line + 1 if mark else None]
    # the parser complains where it notices, at times a line or two after the tab
    if any("\t" in line[: len(line) - len(line.lstrip())] for line in lines[-3:]):
        return "indent with spaces, YAML takes no tabs there"
    return "check the indentation, colons, brackets and quotes up to that line"


def read_yaml(path: Path) -> Any:
    """The document in the file at `path`.

    Raises:
        SpecError: no readable file, or as `parse_yaml`.
    """
    where = str(path) if str(path).isprintable() else repr(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_YAML_BYTES + 1)  # bounded: a device file has no size to ask for
        text = data[:MAX_YAML_BYTES].decode("utf-8-sig", "strict" if len(data) <= MAX_YAML_BYTES else "replace")
    except (OSError, ValueError) as error:
        not_text = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        reason = getattr(error, "strerror", None) or not_text
        raise SpecError("cannot read", where=where, seen=reason, next="check the path") from None
    if len(data) > MAX_YAML_BYTES:
        raise SpecError("file too large", where=where, allowed=f"{MAX_YAML_BYTES} bytes")
    return parse_yaml(text, where)


def without_empties(document: Any, section: str, keys: Collection[str]) -> Any:
    """The document with the empty lists among these keys of a section left out, as if they were not written."""
    if isinstance(document, dict) and isinstance(document.get(section), dict):
        document[section] = {k: v for k, v in document[section].items() if v != [] or k not in keys}
    return document


def check_document(value: Any, where: str, depth: int = 0) -> None:
    """Refuse what no spec may hold anywhere: empty values, keys that are not text, foreign types, boundless numbers.

    Raises:
        SpecError: with the key path, which starts as `where`.
    """
    if depth > MAX_DEPTH:
        raise SpecError("nested too deeply", where=where.removesuffix(": "), allowed=f"{MAX_DEPTH} levels")
    if value is None:
        raise SpecError("no value", where=where.removesuffix(": "), next="give it one, or remove the key")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                place = where.removesuffix(": ")
                raise SpecError("a key must be text", where=place, seen=_bounded(key), next="put it in quotes")
            check_document(item, join(where, key), depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_document(item, f"{where}[{index}]", depth + 1)
    elif not isinstance(value, (str, int, float)):
        raise SpecError("not a value of YAML", where=where.removesuffix(": "), seen=type(value).__name__)
    elif not isinstance(value, str) and not -_MAX_INTEGER < value < _MAX_INTEGER:  # NaN fails it too
        raise SpecError("not a number of sensible size", where=where.removesuffix(": "), seen=_bounded(value))


def join(where: str, key: str) -> str:
    """The key path one level below `where`; keys that would garble a terminal or a log are escaped and cut."""
    shown = key if len(key) <= 60 else f"{key[:60]}…"
    if not shown.isprintable() or not shown.strip():
        shown = repr(shown)
    return f"{where}{'.' if where and not where.endswith(': ') else ''}{shown}"


class Node:
    """One mapping of a document with the key path that leads to it: reads keys, refuses the unknown ones."""

    def __init__(self, value: Any, where: str, known: str) -> None:
        allowed = known.replace(" ", ", ")
        if not isinstance(value, dict):
            raise SpecError("a mapping is needed", where=where.removesuffix(": "), seen=value, allowed=allowed)
        self.value: dict[str, Any] = value
        self.where = where
        for key in value:
            if not isinstance(key, str):
                raise SpecError("a key must be text", where=where.removesuffix(": "), seen=key, allowed=allowed)
            if key not in known.split():
                hint = nearest(key, known.split())
                raise SpecError("unknown key", where=self.at(key), seen=key, allowed=allowed, next=hint)

    def at(self, key: str) -> str:
        return join(self.where, key)

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def raw(self, key: str, default: Any = None) -> Any:
        """The value as YAML gave it; SpecError when absent and no default (pass `...` to require)."""
        if key not in self:
            if default is ...:
                raise SpecError("missing key", where=self.at(key), next=f"add `{key}:`")
            return default
        return self.value[key]

    def text(self, key: str, default: Any = ...) -> Any:
        found = self.raw(key, default)
        if found is not default and not isinstance(found, str):
            hint = "put it in quotes" if isinstance(found, (bool, int, float)) else ""
            raise SpecError("text is needed", where=self.at(key), seen=found, next=hint)
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
            raise SpecError("true or false is needed", where=self.at(key), seen=found, allowed="true, false")
        return found

    def many(self, key: str) -> list[Any]:
        found = self.raw(key, [])
        if not isinstance(found, list):
            hint = f"write [{found}]" if isinstance(found, str) and len(found) <= 60 else ""
            raise SpecError("a list is needed", where=self.at(key), seen=found, next=hint)
        return found

    def names(self, key: str, allowed: tuple[str, ...], *, prefixed: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The words listed under `key`: each one of `allowed` or of a form in `prefixed` (`timm:NAME`), none twice;
        empty when absent alone."""
        found: dict[str, None] = {}
        options = ", ".join((*allowed, *prefixed))
        for index, name in enumerate(self.many(key)):
            where = f"{self.at(key)}[{index}]"
            if not isinstance(name, str) or not (name in allowed or _extends(prefixed, name)):
                hint = nearest(name, allowed) if isinstance(name, str) else ""
                raise SpecError("unknown value", where=where, seen=name, allowed=options, next=hint)
            if name in found:
                raise SpecError("named twice", where=where, seen=name)
            found[name] = None
        if key in self and not found:
            raise SpecError(EMPTY, where=self.at(key), seen=[], allowed=options,
                            next="name at least one, or remove the key for the default")  # fmt: skip
        return tuple(found)

    @contextmanager
    def here(self, key: str) -> Iterator[None]:
        """Errors raised inside get this key's path."""
        try:
            yield
        except SpecError as error:
            raise error.at(self.at(key)) from None


def _extends(prefixed: tuple[str, ...], name: str) -> bool:
    starts = tuple(form.partition(":")[0] + ":" for form in prefixed)
    return name.startswith(starts) and name not in starts and name.isprintable()


def _value(node: Any, where: str, path: str) -> Any:
    """The value of a composed YAML node; `path` is the key path so far."""
    line = f"{where}:{node.start_mark.line + 1}"
    if node.id == "sequence":
        return [_value(item, where, f"{path}[{index}]") for index, item in enumerate(node.value)]
    if node.id == "scalar":
        place = f"{line}: {path}" if path else line
        return _plain(node.value, place) if node.style in (None, "") else node.value
    result: dict[Any, Any] = {}
    lines: dict[Any, int] = {}
    for key_node, value_node in node.value:
        number = key_node.start_mark.line + 1
        if key_node.id != "scalar":
            raise SpecError("a key must be text", where=f"{where}:{number}" + (f": {path}" if path else ""))
        key = _value(key_node, where, path)
        below = join(path, str(key))
        if key in result:
            seen = f"on line {lines[key]} and on line {number}"
            raise SpecError("key given twice", where=f"{where}:{number}: {below}", seen=seen, next="keep one of them")
        result[key], lines[key] = _value(value_node, where, below), number
    return result


def _plain(text: str, place: str) -> Any:
    """What an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > 40:
            raise SpecError("not a number of sensible size", where=place, seen=text)
        return int(text.replace("_", ""))
    return float(text.replace("_", "")) if _FLOAT.fullmatch(text) else text


def _bounded(value: Any) -> Any:
    """`value`, or nothing where writing it down would itself fail."""
    return None if isinstance(value, int) and abs(value) > 10**40 else value
