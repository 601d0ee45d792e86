"""Plain text files of evaluators, line by line or as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from langxfer.errors import DataError


def read_text(path: str, option: str) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises:
        DataError: it cannot be read; the message names the option that asks for it.
    """
    try:
        return _read(path, option).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{option}: {path}: byte {error.start} is not UTF-8. Store the file as UTF-8.") from None


def read_lines(path: str, option: str) -> list[str]:
    """The lines of a text file; only line feeds end one, as in line-aligned corpora.

    Raises:
        DataError: it cannot be read.
    """
    lines = read_text(path, option).split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if not lines[-1] else lines)]


def digests(paths: Iterable[str], option: str) -> list[str]:
    """The SHA-256 of each file.

    Raises:
        DataError: one cannot be read.
    """
    return [hashlib.sha256(_read(path, option)).hexdigest() for path in paths]


def _read(path: str, option: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{option}: cannot read {path} ({error.strerror}).") from None
