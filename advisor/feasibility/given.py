"""What the user gives beside limits (own models, the baseline, names of backbones), held against the task before
anything else: all that a search refuses and that headers tell, with the same words.

What only running a file tells, a search finds out when it starts.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from os.path import exists
from pathlib import Path

from advisor.baseline import WHERE, baseline_file
from advisor.own.file import ModelFile, own_models
from advisor.own.fit import Fit, for_task, resized
from advisor.own.support import mixture, unpruned
from advisor.space.own_files import left_out, own_files
from advisor.space.search_space import search_space
from advisor.tasks.peek import Peek
from specs.errors import ModelFileError, SpecError
from specs.spec import Spec

_TIMM = "timm:"


def check_given(spec: Spec, peek: Peek) -> None:
    """Refuse models that are unfit for the task or for a target.

    Raises:
        ModelFileError: one of the spec's own files or its baseline, with the key path.
        SpecError: timm has no such backbone, or it does not take the data.
    """
    if not peek.assumed:
        for name in spec.search.architectures:
            if name.startswith(_TIMM):
                _check_backbone(name, peek.shapes[0])
        _fits(spec, peek)
    if not _awaited(spec, peek):
        baseline_file(spec)
    for target in spec.targets:
        try:
            search_space(spec, target, peek.shapes, peek.classes)
        except SpecError:
            continue  # nothing of the spec runs there: judged, as a target that is out of the question


def given_notes(spec: Spec, peek: Peek) -> list[str]:
    """What the user should know of the models that the spec names, one sentence each."""
    fits = {} if peek.assumed else _fits(spec, peek)
    found = []
    for name, file in _named(spec, peek).items():
        about = [resized(peek.shapes[0], fits[name].shape)] if name in fits else []
        about.append(mixture(file))
        if name != WHERE and any(spec.search.pruning):
            about.append(unpruned(file))
        found += [f"{name}: {words}" for words in about if words]
    if _awaited(spec, peek):
        found.append(f"{WHERE}: {spec.baseline} does not exist yet")
    own = own_files(spec, peek.shapes)
    for target in spec.targets:
        found += left_out(own, spec.search.quantization, target)
    return found


def _awaited(spec: Spec, peek: Peek) -> bool:
    """Whether the baseline is as absent as the data: a question asked before anything is there."""
    return bool(peek.assumed and spec.baseline and not exists(spec.folder / spec.baseline))


def _named(spec: Spec, peek: Peek) -> dict[str, ModelFile]:
    """The files the spec names, by architecture or `baseline.model`."""
    today = None if _awaited(spec, peek) else baseline_file(spec)
    return {**own_models(spec), **({WHERE: today} if today else {})}


def _fits(spec: Spec, peek: Peek) -> dict[str, Fit]:
    """How the task's samples enter every one of the files.

    Raises:
        ModelFileError: one is for another task.
    """
    any_size = peek.any_size and spec.task.kind == "image-classification"
    found = {}
    for name, file in _named(spec, peek).items():
        try:
            found[name] = for_task(file, peek.shapes, peek.classes, any_size=any_size)
        except ModelFileError as error:
            names = spec.search.architectures
            raise error.at(f"search.architectures[{names.index(name)}]" if name in names else name) from None
    return found


def _check_backbone(name: str, shape: tuple[int, ...]) -> None:
    """Raise SpecError as `check_timm` does; that imports torch, so it is asked only where the name is in doubt."""
    if len(shape) == 3 and _registered(name.removeprefix(_TIMM).partition(".")[0]):
        return
    from advisor.build.opaque import check_timm

    check_timm(name, shape)


def _registered(name: str) -> bool:
    """Whether timm's sources register a model of that name."""
    found = find_spec("timm")
    wanted = re.compile(rf"^@register_model\ndef {re.escape(name)}\(", re.MULTILINE)
    return any(
        wanted.search(path.read_text("utf-8", "replace"))
        for folder in (found.submodule_search_locations or () if found else ())
        for path in (Path(folder) / "models").glob("*.py")
    )
