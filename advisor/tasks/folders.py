"""Trees of files in class folders: DIR/CLASS/… or DIR/train/CLASS/…, DIR/test/CLASS/… (and DIR/val/CLASS/…)."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from advisor.tasks.raw import plural
from specs.errors import DataError

_SPLIT_NAMES = {"train": "train", "training": "train", "test": "test", "testing": "test",
                "val": "val", "valid": "val", "validation": "val"}  # fmt: skip
_MAX_FILES = 1_000_000
_LAYOUT = "one folder a class, or train/ and test/ (and val/) with one folder a class in each"


@dataclass
class Tree:
    """`files`: by split (`all` where the tree has none) the (path, class) pairs, sorted. `skipped`: reasons."""

    files: dict[str, list[tuple[Path, str]]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)

    def notes(self) -> tuple[str, ...]:
        return tuple(f"{plural(count, 'file')} skipped: {why}" for why, count in sorted(self.skipped.items()))


def walk(root: Path) -> Tree:
    """Every file below the class folders of `root`; hidden ones and links that leave `root` are left out.

    Raises:
        DataError: not a readable folder, or no class folders in it.
    """
    tree = Tree()
    real = root.resolve()
    top = _folders(real, tree)
    splits = {_SPLIT_NAMES.get(name.lower(), "") for name in top}
    if "" in splits and {"train", "test"} <= splits:
        others = [name for name in top if name.lower() not in _SPLIT_NAMES]
        raise DataError("folders beside train/ and test/", where=str(root), seen=others, allowed=_LAYOUT,
                        next="move or remove them")  # fmt: skip
    if top and "" not in splits and "train" in splits:
        for name, path in top.items():
            split = _SPLIT_NAMES[name.lower()]
            if split in tree.files:
                raise DataError(f"two folders for the {split} split", where=str(root), seen=list(top))
            tree.files[split] = _classes(path, _folders(path, tree), real, tree)
    else:
        tree.files["all"] = _classes(root, top, real, tree)
    return tree


def _classes(where: Path, classes: dict[str, Path], real: Path, tree: Tree) -> list[tuple[Path, str]]:
    if not classes:
        raise DataError("no class folders", where=str(where), allowed=_LAYOUT,
                        next="put the samples of each class in a folder of its name")  # fmt: skip
    found: list[tuple[Path, str]] = []
    for name, path in classes.items():
        found += [(file, name) for file in _files(path, real, tree)]
        if len(found) > _MAX_FILES:
            raise DataError("too many files", where=str(where), seen=f"more than {_MAX_FILES}", allowed=str(_MAX_FILES))
    return found


def _folders(path: Path, tree: Tree) -> dict[str, Path]:
    """Sub-folders by name; files beside them are counted as skipped."""
    folders: dict[str, Path] = {}
    for entry in _entries(path):
        if entry.is_dir(follow_symlinks=False):
            folders[entry.name] = Path(entry.path)
        elif entry.is_symlink() and os.path.isdir(entry.path):
            tree.skipped["linked folder"] += 1
        else:
            tree.skipped["outside the class folders"] += 1
    return folders


def _files(path: Path, real: Path, tree: Tree) -> list[Path]:
    found: list[Path] = []
    pending = [path]
    while pending:
        for entry in _entries(pending.pop()):
            if entry.is_symlink():
                target = os.path.realpath(entry.path)  # unlike pathlib's, at peace with links in a circle
                if os.path.isdir(target):
                    tree.skipped["linked folder"] += 1
                elif Path(target).is_relative_to(real) and os.path.isfile(target):
                    found.append(Path(entry.path))
                else:
                    tree.skipped["link that leaves the folder or leads nowhere"] += 1
            elif entry.is_dir(follow_symlinks=False):
                pending.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                found.append(Path(entry.path))
            else:  # a pipe or device would block the reader
                tree.skipped["not a plain file"] += 1
    return sorted(found)


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted((e for e in entries if not e.name.startswith((".", "__MACOSX"))), key=lambda e: e.name)
    except OSError as error:
        raise DataError("the folder cannot be read", where=str(path), seen=error.strerror) from error
