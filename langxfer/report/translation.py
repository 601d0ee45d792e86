"""The report on a translated set, as a page of Markdown and as a few lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from langxfer.languages import LANGUAGES
from langxfer.report.samples import cell

if TYPE_CHECKING:
    from langxfer.engine.quality import PairReport, PartReport, Report, Sample, Spread


def translation_page(report: Report) -> str:
    """The whole report."""
    lines = [
        "# Translation",
        "",
        f"By `{report.translator}`. Numbers are of what was kept, unless they say otherwise.",
        "",
    ]
    for pair in report.pairs:
        lines += _pair(pair, report.identifier)
    return "\n".join(lines).rstrip() + "\n"


def summary_lines(report: Report) -> Iterator[str]:
    """What a person wants to know first, a few lines a language pair."""
    for pair in report.pairs:
        total = pair.kept + sum(lost.count for lost in pair.lost)
        reasons = ", ".join(f"{lost.reason} ({lost.count})" for lost in pair.lost)
        yield f"{pair.pair}: {pair.kept:,} of {total:,} kept" + (f"; lost: {reasons}" if reasons else "")
        for part in pair.parts:
            yield f"  {part.part}: {_part_summary(part, pair)}"
        if pair.deciles:
            low, middle, high = (pair.deciles[place] for place in (1, 5, 9))
            most = f"80 % of {pair.scored:,} between {low:.2f} and {high:.2f}"
            yield f"  model score, nats a token: median {middle:.2f}, {most}"
        if pair.retried:
            yield f"  {pair.retried:,} segments came back cut or running in circles, and were good the second time"
        for score in pair.scores:
            yield f"  {score.name.partition('/')[0]} {score.value:.1f} (n {score.n:,}, {score.signature})"
        if pair.unreferenced:
            yield f"  {pair.unreferenced:,} texts have no reference and are not scored"


def _part_summary(part: PartReport, pair: PairReport) -> str:
    found = f"{part.texts:,} texts"
    if part.verbatim:
        found += f" and {part.verbatim:,} without anything to translate"
    if part.characters:
        low, high = part.characters.percentiles["5"], part.characters.percentiles["95"]
        found += f", {part.characters.mean:.2f} characters for one (90 % between {low:.2f} and {high:.2f})"
    if part.languages:
        found += f", {part.fidelity:.1f} % surely in {_name(pair)}"
    return found


def _name(pair: PairReport) -> str:
    return LANGUAGES[pair.pair.target].name


# ---------------------------------------------------------------- the page


def _pair(pair: PairReport, identifier: str) -> list[str]:
    total = pair.kept + sum(lost.count for lost in pair.lost)
    lines = [f"## {pair.pair}", "", f"{pair.kept:,} of {total:,} were kept.", ""]
    if pair.lost:
        rows = [[cell(lost.reason), f"{lost.count:,}", f"{lost.count / total:.1%}"] for lost in pair.lost]
        lines += [*_table(["lost because", "number", "share"], rows), ""]
    lines += _lengths(pair)
    lines += _languages(pair, identifier)
    lines += _model(pair)
    if pair.scores:
        rows = [[score.name, f"{score.value:.2f}", f"{score.n:,}", f"`{score.signature}`"] for score in pair.scores]
        lines += ["### Scores", "", *_table(["score", "value", "n", "signature"], rows), ""]
    if pair.unreferenced:
        lines += [f"{pair.unreferenced:,} texts have no reference and are not scored.", ""]
    lines += _samples("The worst ways there and back", pair.round_trips, "came back as")
    lines += _samples("Kept", pair.samples)
    for lost in pair.lost:
        measured = any(sample.note for sample in lost.samples)
        lines += _samples(f"Lost: {lost.reason}", lost.samples, "measure" if measured else "")
    for part in pair.parts:
        lines += _samples(f"{part.part.capitalize()} in a wrong language", part.wrong, "taken for")
    return lines


def _lengths(pair: PairReport) -> list[str]:
    rows = []
    for part in pair.parts:
        for unit, spread in (("characters", part.characters), ("words", part.words)):
            if spread is not None:
                rows.append([f"{part.part}, {unit}", f"{spread.n:,}", f"{spread.mean:.2f}", *_percentiles(spread)])
    if not rows:
        return []
    names = [f"{name} %" for name in next(s for p in pair.parts for s in (p.characters, p.words) if s).percentiles]
    about = (
        "Length of the target divided by that of the source, text by text: mean, and what so many percent are below."
    )
    return ["### Lengths", "", about, "", *_table(["text", "n", "mean", *names], rows), ""]


def _percentiles(spread: Spread) -> list[str]:
    return [f"{value:.2f}" for value in spread.percentiles.values()]


def _languages(pair: PairReport, identifier: str) -> list[str]:
    judged = [part for part in pair.parts if part.languages]
    if not judged:
        return [f"No identifier knows {_name(pair)}, so languages were not checked.", ""] if pair.parts else []
    verdicts = list(dict.fromkeys(verdict for part in judged for verdict in part.languages))
    rows = [
        [
            part.part,
            f"{part.texts:,}",
            f"{part.fidelity:.1f}",
            *(f"{part.languages.get(v, 0):,}" for v in verdicts),
            _counted(part.detected),
        ]
        for part in judged
    ]
    head = ["text", "n", "right, %", *(verdict.replace("_", " ") for verdict in verdicts), "wrong ones taken for"]
    about = f"Is the target in {_name(pair)}? Identified by {identifier}, without code and addresses."
    return ["### Languages", "", about, "", *_table(head, rows), ""]


def _model(pair: PairReport) -> list[str]:
    lines = []
    if pair.deciles:
        head = ["examples", "lowest", *(f"{tenth}0 %" for tenth in range(1, 10)), "highest"]
        row = [f"{pair.scored:,}", *(f"{value:.2f}" for value in pair.deciles)]
        about = "Mean log-probability of a token, in nats, as the translator says: an example's mean over its segments."
        lines += ["### Model scores", "", about, "", *_table(head, [row]), ""]
    if pair.retried:
        lines += [f"{pair.retried:,} segments came back cut or running in circles, and were good the second time.", ""]
    return lines


def _samples(title: str, samples: Sequence[Sample], noted: str = "") -> list[str]:
    """A table; ``noted`` is what the notes are called, empty for none."""
    if not samples:
        return []
    head = ["where", "source", "target", *([noted] if noted else [])]
    rows = [
        [
            cell(s.id),
            cell(s.source),
            "*(none)*" if s.target is None else cell(s.target),
            *([cell(s.note)] if noted else []),
        ]
        for s in samples
    ]
    return [f"### {cell(title)}", "", *_table(head, rows), ""]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in list(counts.items())[:6])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
