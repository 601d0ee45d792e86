"""From source rows to parallel examples: translation of what is missing, then the filters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from langxfer.components import OpenTranslator, Pair
from langxfer.data import ParallelExample, Turn
from langxfer.engine.formats import Rejected, SourceRow
from langxfer.errors import PluginError

if TYPE_CHECKING:
    from langxfer.recipe import Data

CHUNK = 256  # segments between two signs of progress


def build_examples(
    rows: Sequence[SourceRow],
    data: Data,
    translator: OpenTranslator | None,
    name: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[ParallelExample], list[Rejected]]:
    """One example per row and target language (id ``ROW/TAG``), and what was lost, with reasons.

    ``translator`` is None for parallel data. ``name`` becomes the examples' provenance. Examples come in the
    order of the rows, then of ``data.target_languages``. Every distinct text is translated once per language,
    whole; ``progress`` gets (done, total) in such texts. The first filter that drops an example gives the reason.

    Raises:
        PluginError: the translator broke its contract: not one text or None for every segment.
    """
    translations = {} if translator is None else _translations(rows, data, translator, progress)
    examples: list[ParallelExample] = []
    lost: list[Rejected] = []
    for row in rows:
        source = row.turns[data.source_language]
        for tag in data.target_languages:
            identity = f"{row.id}/{tag}"
            if translator is None:
                target: Turn | str = row.turns.get(tag) or row.missing.get(tag, f'no side "{tag}"')
            else:
                target = _translated(source, tag, translations)
            if isinstance(target, str):
                lost.append(Rejected(identity, target))
                continue
            example = ParallelExample(identity, source, target, name)
            verdict = next(_drops(example, data), None)
            if verdict is None:
                examples.append(example)
            else:
                lost.append(Rejected(identity, verdict))
    return examples, lost


def _drops(example: ParallelExample, data: Data) -> Iterator[str]:
    for filter_ in data.filters:
        drop = filter_.judge(example)
        if drop is not None:
            yield f"{filter_.name}: {drop.reason}"


def _translated(source: Turn, tag: str, translations: dict[tuple[str, str], str | None]) -> Turn | str:
    prompt, response = translations[tag, source.prompt], translations[tag, source.response]
    for side, text in (("prompt", prompt), ("response", response)):
        if text is None:
            return f"no translation of the {side}"
        if not text.strip():
            return f"the translation of the {side} is empty"
    return Turn(prompt or "", response or "", tag)


def _translations(
    rows: Sequence[SourceRow], data: Data, translator: OpenTranslator, progress: Callable[[int, int], None]
) -> dict[tuple[str, str], str | None]:
    """Every distinct prompt and response, once per target language."""
    turns = [row.turns[data.source_language] for row in rows]
    segments = list(dict.fromkeys(text for turn in turns for text in (turn.prompt, turn.response)))
    total = len(segments) * len(data.target_languages)
    found: dict[tuple[str, str], str | None] = {}
    for tag in data.target_languages:
        for start in range(0, len(segments), CHUNK):
            chunk = segments[start : start + CHUNK]
            results = translator.translate(chunk, Pair(data.source_language, tag))
            _check(results, chunk)
            found.update({(tag, text): result for text, result in zip(chunk, results, strict=True)})
            progress(len(found), total)
    return found


def _check(results: Sequence[object], chunk: Sequence[str]) -> None:
    wrong = [type(result).__name__ for result in results if not isinstance(result, str | None)]
    if wrong or len(results) != len(chunk):
        found = f"{len(results)} translations" + (f", among them {wrong[0]}" if wrong else "")
        raise PluginError(
            f"the translator gave {found} for {len(chunk)} segments. Expected one text, or None, for each in order: "
            "this is a fault of the plugin that brings it."
        )
