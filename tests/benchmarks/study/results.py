"""The numbers of the study's runs, kept without the texts, so that tables can be made again, or from several machines.

    python -m tests.benchmarks.study.results keep methods runs/sweep-methods-0123456789
    python -m tests.benchmarks.study.results tables methods
    python -m tests.benchmarks.study.results against sizes sft clo
    python -m tests.benchmarks.study.results page methods FOLDER

A sweep takes hours and its folder holds models and texts of data that may not be copied. What is kept of a point is its
recipe, what it was made with, seconds of each stage, scores, and what every item adds to them: enough for means over
seeds, paired tests and crossings.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from langxfer.components import Evaluation
from langxfer.data import read_jsonl
from langxfer.report.compare_runs import compare_finished
from langxfer.report.comparison import compare_all
from langxfer.report.finished import Finished, read_finished, score_of
from langxfer.report.html.writing import REPORT, write_sweep_report
from langxfer.report.method_formats import markdown
from langxfer.report.paths import without_folders
from langxfer.report.settings import label, value_text, without_seed
from langxfer.report.sweep import RESULT, Report, Row, report_of
from langxfer.report.tables import Row as TestedRow
from langxfer.report.tables import format_mean

FOLDER = Path(__file__).parent / "results"
MADE_WITH = ("model", "versions", "hardware", "plugins", "code")
OF_A_ROW = ("id", "language", "scores", "score")
# Points of the sweep "methods" that others have too: the same recipe, so on one machine the run would be found.
SHARED = {
    "sizes": {own: {"phases[0].objective": own, "data.limit": 400, "seed": 0} for own in ("clo", "sft")},
    "ablations": {"clo": {"name": "CLO"}, "sft": {"name": "SFT"}},
}


def kept(settings: Mapping[str, Any], run: Finished) -> dict[str, Any]:
    """A point without texts, as JSON values."""
    manifest = {name: run.manifest[name] for name in MADE_WITH if name in run.manifest}
    manifest["data"] = {"identity": run.manifest["data"]["identity"]}
    manifest["stages"] = [
        {name: own[name] for name in ("stage", "key", "seconds") if name in own} for own in run.manifest["stages"]
    ]
    scores = {when: {name: _numbers(own) for name, own in getattr(run, when).items()} for when in ("before", "after")}
    return {"settings": dict(settings), "recipe": without_folders(run.recipe), "manifest": manifest, **scores}


def _numbers(evaluation: Evaluation) -> dict[str, Any]:
    rows = [{name: row[name] for name in OF_A_ROW if name in row} for row in evaluation.rows]
    return {"scores": [asdict(score) for score in evaluation.scores], "rows": rows}


def restored(values: Mapping[str, Any]) -> tuple[Mapping[str, Any], Finished]:
    """Settings and run of what was kept."""
    before, after = (
        {
            name: Evaluation([score_of(score) for score in own["scores"]], own["rows"])
            for name, own in values[when].items()
        }
        for when in ("before", "after")
    )
    recipe = values["recipe"]
    return values["settings"], Finished(Path(), str(recipe["title"]), recipe, values["manifest"], before, after)


def keep(study: str, sweep: Path) -> list[Path]:
    """Write what is kept of all finished points of a sweep's folder."""
    FOLDER.joinpath(study).mkdir(parents=True, exist_ok=True)
    written = []
    for row in read_jsonl(sweep / "points.jsonl"):
        if row["status"] != "done":
            continue
        values = kept(row["settings"], read_finished(sweep.parent / row["run"]))
        # The model before training is the same for many points: it is kept once.
        before = json.dumps(values["before"], ensure_ascii=False).encode()
        values["before"] = f"before-{hashlib.sha256(before).hexdigest()[:12]}.json.gz"
        _write(FOLDER / values["before"], before)
        name = re.sub(r"[^a-z0-9.]+", "-", ", ".join(map(value_text, row["settings"].values())).lower())
        path = FOLDER / study / f"{name}.json.gz"
        _write(path, json.dumps(values, ensure_ascii=False).encode())
        written.append(path)
    return written


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content, mtime=0))  # without the time: the same numbers are the same bytes


def _read(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def read(study: str) -> list[tuple[Mapping[str, Any], Finished]]:
    """All points that were kept of a sweep, by their names."""
    found = [_read(path) for path in sorted(FOLDER.joinpath(study).glob("*.json.gz"))]
    shared = SHARED.get(study, {}).items()
    found += [{**_read(FOLDER / f"methods/{name}-0.json.gz"), "settings": settings} for name, settings in shared]
    return [restored({**values, "before": _read(FOLDER / values["before"])}) for values in found]


def tables(points: Sequence[tuple[Mapping[str, Any], Finished]], baseline: str) -> Iterator[str]:
    """Means over seeds; what it took; for each seed, every method against the baseline by paired tests."""
    report = report_of(points)
    yield from _means(report)
    yield from ("", "| point | train, s | evaluate, s | machine |", "|---|---|---|---|")
    for settings, run in points:
        train, evaluate = (_seconds(run, stage) for stage in ("train", "evaluate after"))
        hardware = run.manifest["hardware"]
        threads = f", {hardware['threads']} threads" if "threads" in hardware else ""
        machine = f"{hardware['device']}{threads}, torch {run.manifest['versions']['torch']}"
        yield f"| {label(settings)} | {train:,.0f} | {evaluate:,.0f} | {machine} |"
    for crossed in report.crossings:
        if crossed.largest:
            own = crossed.crossing
            yield f"- {crossed.score}: {own.method} has {own.other}'s level at {own.at:g} at {own.place} "
            yield f"  [{own.low}, {own.high}]"
    for seed in dict.fromkeys(settings.get("seed", 0) for settings, _ in points):
        named = [
            replace(run, title=", ".join(map(value_text, without_seed(settings).values())))
            for settings, run in points
            if settings.get("seed", 0) == seed
        ]
        if baseline in {run.title for run in named} and len(named) > 1:
            yield from ("", f"Seed {seed}", "", markdown(compare_finished(named, baseline=baseline)))


def against(points: Sequence[tuple[Mapping[str, Any], Finished]], names: tuple[str, str], over: str) -> Iterator[str]:
    """One method above another at each value of a setting; p-values are adjusted for all of them together."""
    runs = {(value_text(s["phases[0].objective"]), s[over]): run for s, run in points}
    values = sorted({value for _, value in runs})
    both = [[runs[name, value].after for name in names] for value in values]
    found = compare_all([(first[name], second[name]) for first, second in both for name in second])
    rows: dict[str, list[str]] = {}
    for own in found:
        rows.setdefault(own.second.name, []).append(TestedRow(own.first, own.second, own).change)
    yield f"| {names[1]} - {names[0]} | " + " | ".join(f"{value:,}" for value in values) + " |"
    yield "|---|" + "---|" * len(values)
    yield from (f"| {name} | " + " | ".join(changes) + " |" for name, changes in rows.items())
    yield f"{sum(own.effect is not None for own in found)} comparisons"


def _seconds(run: Finished, stage: str) -> float:
    return sum(own.get("seconds", 0.0) for own in run.manifest["stages"] if own["stage"].startswith(stage))


def page(title: str, points: Sequence[tuple[Mapping[str, Any], Finished]], folder: Path) -> Path:
    """The sweep's page of all kept points, as one sweep over them on one machine would have written it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "settings": settings,
            "run": run.title,
            "status": "done",
            "seconds": sum(own.get("seconds", 0.0) for own in run.manifest["stages"]),
            "error": None,
        }
        for settings, run in points
    ]
    value = {"title": title, "points": lines, **report_of(points).record()}
    folder.joinpath(RESULT).write_text(json.dumps(value), encoding="utf-8")
    write_sweep_report(folder, folder / REPORT)
    return folder / REPORT


def _means(report: Report) -> Iterator[str]:
    names = list(dict.fromkeys(str(cell.name) for row in report.rows for cell in row.cells))
    yield "| score | " + " | ".join(row.label for row in report.rows) + " |"
    yield "|---|" + "---|" * len(report.rows)
    for name in names:
        yield f"| {name} | " + " | ".join(_mean(row, name) for row in report.rows) + " |"


def _mean(row: Row, name: str) -> str:
    for cell in row.cells:
        if str(cell.name) == name:
            value, interval = format_mean(cell.mean, cell.like)
            return f"{value} [{interval.replace(' to ', ', ')}]" if interval else value
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    keeping = verbs.add_parser("keep", help="keep the numbers of a sweep's folder")
    keeping.add_argument("study")
    keeping.add_argument("sweep", type=Path)
    showing = verbs.add_parser("tables", help="print tables of what was kept")
    showing.add_argument("study")
    showing.add_argument("--baseline", default="SFT")
    paging = verbs.add_parser("page", help="write the report page of what was kept")
    paging.add_argument("study")
    paging.add_argument("folder", type=Path)
    paired = verbs.add_parser("against", help="print one method against another at each size")
    paired.add_argument("study")
    paired.add_argument("methods", nargs=2)
    paired.add_argument("--over", default="data.limit")
    given = parser.parse_args()
    if given.verb == "keep":
        for path in keep(given.study, given.sweep):
            print(path)
    elif given.verb == "page":
        print(page(given.study, read(given.study), given.folder))
    elif given.verb == "against":
        print("\n".join(against(read(given.study), tuple(given.methods), given.over)))
    else:
        print("\n".join(tables(read(given.study), given.baseline)))


if __name__ == "__main__":
    main()
