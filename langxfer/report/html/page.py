"""The page of a run or of an evaluation, as values for its template."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langxfer.report.comparison import Comparison
from langxfer.report.figures import Figure
from langxfer.report.finished import EVALUATORS, RECIPE, Finished
from langxfer.report.html.answers import AnswerGroup, Text, answer_groups, cut, language_name
from langxfer.report.html.curves import curves
from langxfer.report.html.notes import notes_of
from langxfer.report.html.scores import Scores, scores_of
from langxfer.report.html.stages import StageLine, stage_lines
from langxfer.report.made_by import made_by


@dataclass(frozen=True)
class PhaseCurves:
    """The course of one training phase."""

    title: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class TranslatedPair:
    """How good the data of a language pair is, from ``translation.json``.

    Attributes:
        lost: reason, number, and (source, target, measure) of a few cases.
        samples: (source, target) of a few of what was kept.
        verdicts: what texts were judged to be, if not right: in a wrong language, too short, ….
        languages: part, texts, percent in the target language, texts by verdict, what the wrong ones were taken for.
        lengths: part, unit, mean ratio, and 5th and 95th percentile.
        scores: name, value, n.
    """

    source: str
    target: str
    kept: int
    total: int
    lost: tuple[tuple[str, int, tuple[tuple[Text, Text | None, str], ...]], ...]
    samples: tuple[tuple[Text, Text | None], ...]
    verdicts: tuple[str, ...]
    languages: tuple[tuple[str, int, float, tuple[int, ...], str], ...]
    lengths: tuple[tuple[str, str, float, float, float], ...]
    scores: tuple[tuple[str, float, int], ...]


@dataclass(frozen=True)
class RunPage:
    """All that the page of a run or of an evaluation says, in its order; what there is nothing of is empty."""

    title: str
    kind: str
    facts: tuple[tuple[str, str], ...]
    scores: Scores
    seeds: tuple[int, ...]
    notes: tuple[str, ...]
    curves: tuple[PhaseCurves, ...]
    answers: tuple[AnswerGroup, ...]
    translator: str
    translated: tuple[TranslatedPair, ...]
    dropped: tuple[tuple[str, int], ...]
    stages: tuple[StageLine, ...]
    recipe: str | None
    filled: str | None
    commands: tuple[str, ...]
    with_recipe: bool
    overrides: tuple[str, ...]
    plugins: tuple[tuple[str, str], ...]
    digests: tuple[tuple[str, str], ...]


def run_page(finished: Finished, comparisons: Sequence[Comparison] | None = None) -> RunPage:
    """The page; ``comparisons`` are those of before and after, where they are known already."""
    manifest, translation = finished.manifest, finished.translation()
    is_run = finished.kind == "run"
    return RunPage(
        title=finished.title,
        kind=finished.kind,
        facts=tuple(_facts(finished)),
        scores=scores_of(finished, comparisons),
        seeds=tuple(manifest["seeds"]["training"]) if is_run else (),
        notes=tuple(notes_of(finished)),
        curves=tuple(_curves(finished)),
        answers=tuple(answer_groups(finished)),
        translator=translation.get("translator", ""),
        translated=tuple(map(_translated, translation.get("pairs", ()))),
        dropped=tuple(manifest["encoded"]["dropped"].items()) if is_run else (),
        stages=tuple(stage_lines(finished)),
        recipe=finished.text("recipe.yaml"),
        filled=finished.text("filled.yaml" if is_run else RECIPE),
        commands=tuple(_commands(finished)),
        with_recipe=EVALUATORS in manifest.get("command", ()),
        overrides=tuple(manifest["overrides"]) if is_run else (),
        plugins=tuple((row["file"], row["sha256"]) for row in manifest.get("plugins", ())),
        digests=tuple(_digests(finished)),
    )


def _facts(finished: Finished) -> Iterator[tuple[str, str]]:
    """What was run, on what, when."""
    manifest, recipe = finished.manifest, finished.recipe
    model = manifest["model"]
    yield "model", model["source"] + (f" at {model['revision']}" if model.get("revision") else "")
    dtype = (recipe["model"] if recipe is not None and finished.kind == "run" else model).get("dtype")
    if dtype is not None:
        yield "precision", dtype
    if recipe is not None:
        yield from _of_recipe(recipe)
    if finished.kind == "run":
        encoded = manifest["encoded"]
        yield "examples", f"{encoded['train']:,} for training, {encoded['validation']:,} for validation"
        trained = [row for row in manifest["stages"] if "trained_share" in row]
        shares = ", ".join(f"{row['trained_share']:.1%}" for row in trained)
        yield "trained", f"{shares} of the parameters, {sum(row['steps'] for row in trained):,} steps"
    machines = made_by(finished)
    yield "hardware", "; then ".join(dict.fromkeys(_machine(own.hardware) for own in machines))
    times = [row["time"] for row in finished.events() if row.get("event") == "StageFinished"]
    if times:
        yield "finished", times[-1].replace("T", " ").replace("Z", " UTC")
    yield "langxfer", ", then ".join(dict.fromkeys(own.versions["langxfer"] for own in machines))


def _machine(hardware: Mapping[str, Any]) -> str:
    processes = f", {hardware['processes']} processes" if hardware["processes"] > 1 else ""
    threads = f", threads: {hardware['threads']}" if hardware.get("threads") else ""
    return f"{hardware['device']}{processes}{threads}, {hardware['system']} {hardware['machine']}"


def _of_recipe(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data, translator = recipe["data"], recipe["translator"]
    targets = ", ".join(f"{language_name(tag)} ({tag})" for tag in data["target_languages"])
    yield "languages", f"{language_name(data['source_language'])} ({data['source_language']}) to {targets}"
    phases = [
        f"{phase['objective']['name']} on {phase['selector']['name']} parameters, learning rate "
        f"{phase['training']['learning_rate']:g}, batches of {phase['training']['batch_size']}"
        for phase in recipe["phases"]
    ]
    yield "method", ", then ".join(phases)
    source = data["source"].rsplit("/", 1)[-1] if data["source"].startswith("/") else data["source"]
    yield "data", f"{source}, " + (f"translated by {translator['name']}" if translator else "parallel as given")


def _curves(finished: Finished) -> Iterator[PhaseCurves]:
    found = curves(finished.metrics())
    for phase, figures in found.items():
        objective = finished.recipe["phases"][phase]["objective"]["name"] if finished.recipe else ""
        yield PhaseCurves(f"Phase {phase + 1}: {objective}" if len(found) > 1 else objective, figures)


def _translated(pair: Mapping[str, Any]) -> TranslatedPair:
    source, target = pair["pair"]["source"], pair["pair"]["target"]

    def both(sample: Mapping[str, Any]) -> tuple[Text, Text | None]:
        translated = sample["target"]
        return cut(sample["source"], source), None if translated is None else cut(translated, target)

    judged = [part for part in pair["parts"] if part["languages"]]
    verdicts = [v for v in dict.fromkeys(v for part in judged for v in part["languages"]) if v != "right"]
    return TranslatedPair(
        source=f"{language_name(source)} ({source})",
        target=f"{language_name(target)} ({target})",
        kept=pair["kept"],
        total=pair["kept"] + sum(lost["count"] for lost in pair["lost"]),
        lost=tuple(
            (lost["reason"], lost["count"], tuple((*both(sample), sample["note"]) for sample in lost["samples"]))
            for lost in pair["lost"]
        ),
        samples=tuple(map(both, pair["samples"])),
        verdicts=tuple(verdict.replace("_", " ") for verdict in verdicts),
        languages=tuple(_language_line(part, verdicts) for part in judged),
        lengths=tuple(_lengths(pair["parts"])),
        scores=tuple((score["name"], score["value"], score["n"]) for score in pair["scores"]),
    )


def _language_line(part: Mapping[str, Any], verdicts: Iterable[str]) -> tuple[str, int, float, tuple[int, ...], str]:
    right = 100 * part["languages"].get("right", 0) / sum(part["languages"].values())
    rest = tuple(part["languages"].get(verdict, 0) for verdict in verdicts)
    others = ", ".join(f"{language_name(tag)} ({count:,})" for tag, count in part["detected"].items())
    return part["part"], part["texts"], right, rest, others


def _lengths(parts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, float, float, float]]:
    for part in parts:
        for unit in ("characters", "words"):
            if part[unit]:
                percentiles = part[unit]["percentiles"]
                yield part["part"], unit, part[unit]["mean"], percentiles["5"], percentiles["95"]


def _commands(finished: Finished) -> Iterator[str]:
    """What makes it again, as far as the folder knows: versions, then the verb."""
    manifest = finished.manifest
    libraries = {name: found for name, found in made_by(finished)[-1].versions.items() if name != "python"}
    wanted = [f"{name}=={found.partition('+')[0]}" for name, found in libraries.items() if found != "not installed"]
    yield f"pip install {shlex.join(wanted)}"
    files = [part for row in manifest.get("plugins", ()) for part in ("--plugin", row["file"])]
    command = ["langxfer", "run", "filled.yaml"] if finished.kind == "run" else manifest.get("command")
    if command is not None:  # folders of earlier versions do not know it
        yield shlex.join([*command, *files])


def _digests(finished: Finished) -> Iterator[tuple[str, str]]:
    """What must come out the same."""
    manifest = finished.manifest
    yield "Python", made_by(finished)[-1].versions["python"]
    for label, name in (("run key", "run_key"), ("model key", "model_key")):
        if name in manifest:
            yield label, manifest[name]
    for name in ("weights", "tokenizer"):
        if manifest["model"].get(name):
            yield f"{name} of the model", manifest["model"][name]
    if (digest := manifest.get("data", {}).get("identity", {}).get("sha256")) is not None:
        yield "data", digest
