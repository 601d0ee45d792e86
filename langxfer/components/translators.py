"""Translators, and what they say about a translation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from langxfer.components.component import Component

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Pair:
    """A direction of translation, as BCP-47 tags."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True)
class Translation:
    """A translation with what its translator knows about it.

    Attributes:
        text: None where there is none.
        score: mean log-probability of its tokens in nats, as the model that made it says; None where none is known.
        problem: why the text is not to be trusted, in a word or two (``truncated``); None where nothing is known.
    """

    text: str | None
    score: float | None = None
    problem: str | None = None


class OpenTranslator(Protocol):
    """What ``Translator.open`` gives: a translator with its model in memory.

    It may have four more methods. ``translate_again(segments, pair)`` gives the same as ``translate`` with other
    settings; it is asked about segments whose first translation was cut or ran in circles. ``look_up(documents,
    pair)`` gives translations of whole documents that it happens to know, None for the others, which are taken apart.
    ``usage()`` gives what it has used so far, numbers by name (tokens, requests, money), to be said at the end.
    ``raise_failure()`` raises what kept a call from being finished, where that call gave what it had, and None for the
    rest. It is called when what it had is in the cache, and before documents are made of it.
    One that works on several requests at a time may say with the attribute ``at_once`` how many segments keep it busy.
    An attribute ``running`` may say in a sentence how it runs (device, precision, threads), None until it does.
    """

    def translate(self, segments: Sequence[str], pair: Pair) -> Sequence[str | Translation | None]:
        """Translations in the same order and of the same number; None where there is none."""
        ...


class Translator(Component):
    """Something that translates segments of text.

    Attributes:
        unit: what it is given at a time: a ``sentence`` (white space, markers, code and addresses are kept out of
            its sight), or a whole ``document``. A property where options decide.
        device_counts: whether its translations may differ between ``cpu`` and ``cuda``, so that cache keys have the
            device in them. False where others compute, such as a server or an installed program. A property where
            options decide.
    """

    kind: ClassVar[str] = "translator"
    unit: ClassVar[Literal["sentence", "document"]] = "sentence"
    device_counts: ClassVar[bool] = True

    @abstractmethod
    def languages(self) -> frozenset[str] | None:
        """BCP-47 tags it speaks, in both directions; None when only the data can tell."""

    def cannot(self, pair: Pair) -> str | None:
        """Why it cannot translate in a direction, without a full stop; None where nothing is known against it."""
        spoken = self.languages()
        unspoken = [tag for tag in (pair.source, pair.target) if spoken is not None and tag not in spoken]
        if not unspoken:
            return None
        known = ", ".join(sorted(spoken or ()))
        return f'translator "{self.name}" does not speak {" or ".join(unspoken)}. It speaks: {known}'

    @abstractmethod
    def open(self, device: str, cache: Path) -> AbstractContextManager[OpenTranslator]:
        """Load what is needed onto ``device`` (``cpu`` or ``cuda``); conversions are kept in ``cache``."""
