"""Digests of tasks, items and files, equal in every process and on every machine."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Iterable
from pathlib import Path

from langxfer.errors import DataError

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def digest_of(values: Iterable[object]) -> str:
    """SHA-256 over values as JSON; functions count as their source."""
    content = hashlib.sha256()
    for value in values:
        content.update(json.dumps(value, default=_readable, sort_keys=True).encode("utf-8", "surrogatepass"))
    return content.hexdigest()


def digest_of_folder(folder: str) -> str:
    """SHA-256 over names and contents of the files in and below a folder, hidden and compiled ones aside.

    Raises:
        DataError: one cannot be read.
    """
    content = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        name = path.relative_to(folder)
        if "__pycache__" in name.parts or any(part.startswith(".") for part in name.parts) or not path.is_file():
            continue
        try:
            own = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"lm_eval.include_path: {path} cannot be read ({error.strerror}).") from None
        content.update(f"{name.as_posix()}:{own};".encode("utf-8", "surrogatepass"))
    return content.hexdigest()


def _readable(value: object) -> str:
    if callable(value):
        try:
            return inspect.getsource(value)
        except (TypeError, OSError):  # built-in, or an object that can be called
            pass
    return ADDRESS.sub("", str(value))
