"""Plugin files that a recipe's components are written in, for the record of a run: their bytes decide its results."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from langxfer.components import Component, nested
from langxfer.components.component import PLUGIN_FILE
from langxfer.engine.store import file_digest


def plugin_files(components: Iterable[Component], known: Iterable[tuple[str, str]] = ()) -> list[dict[str, str]]:
    """For a manifest, ``file`` and ``sha256`` of every plugin file: the ``known``, and those of components beside them.

    Where a file is gone or was changed after it had been loaded, the digits of what was loaded stand for it that the
    name of its module begins with: enough to tell two files apart, and true of what the run did.
    """
    found = list(known)
    for name in dict.fromkeys(type(own).__module__ for own in _every(components)):
        digits = name.removeprefix(PLUGIN_FILE)
        if digits != name and not any(sha256.startswith(digits) for _, sha256 in found):
            file = Path(getattr(sys.modules.get(name), "__file__", None) or name)
            found.append((file.name, _sha256(file, digits)))
    return [{"file": name, "sha256": sha256} for name, sha256 in found]


def component_code(components: Iterable[Component]) -> dict[str, str]:
    """Of components that are written in plugin files, by kind and name: what stands for the bytes of that file.

    A file may be renamed, and one of the same name may hold something else; what a recipe names is the component.
    """
    modules = {f"{own.kind} {own.name}": type(own).__module__ for own in _every(components)}
    found = {name: module.removeprefix(PLUGIN_FILE) for name, module in modules.items()}
    return {name: digits for name, digits in found.items() if digits != modules[name]}


def _every(components: Iterable[Component]) -> Iterator[Component]:
    for own in components:
        yield own
        yield from _every(nested(own))


def _sha256(file: Path, digits: str) -> str:
    try:
        sha256 = file_digest(file)
    except OSError:
        return digits
    return sha256 if sha256.startswith(digits) else digits
