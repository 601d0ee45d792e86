"""Which languages are asked: those of the examples before anything is asked, those of the requests ever after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langxfer.data import ParallelExample


def tags_of(examples: Sequence[ParallelExample]) -> tuple[str, ...]:
    """The languages of examples, in order of appearance."""
    return tuple(dict.fromkeys(turn.language for example in examples for turn in (example.source, example.target)))


def tags_asked(ids: Iterable[str]) -> tuple[str, ...]:
    """The languages of requests with ids ``…/TAG``, in order of appearance.

    Examples that are too long for the model are missing from evidence, and with them the order of the languages, or
    one of them.
    """
    return tuple(dict.fromkeys(name.rpartition("/")[2] for name in ids))
