"""A file in pieces: what is translated of it, and all the rest, which stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langxfer.errors import DataError


@dataclass(frozen=True)
class Piece:
    """A part of a file that is written as a whole.

    Attributes:
        where: ``file`` or ``file:line``, for people.
        texts: what is translated, each with its name (``text``, ``segment``, or the name of a field).
        render: the bytes of the piece, given as many texts; an empty one stands for no translation.
    """

    where: str
    texts: tuple[tuple[str, str], ...]
    render: Callable[[Sequence[str]], bytes]


def passing(where: str, content: bytes) -> Piece:
    """A piece without texts."""
    return Piece(where, (), lambda texts: content)


def decoded(content: bytes, name: str, line: int) -> str:
    """UTF-8 as text; ``line`` is the number of its first line.

    Raises:
        DataError: it is not UTF-8; with the line.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        raise DataError(f"{name}:{line} is not UTF-8 ({error.reason}). Save the file as UTF-8.") from None
