"""What the filters find, and what they cost: ``python -m tests.benchmarks.filters [--json]``; see README.md."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from langxfer.builtin import filters as own
from langxfer.components import Filter
from langxfer.data import ParallelExample
from tests.benchmarks.planted import DATA, FAULTS, TARGETS, Texts, clean, read_flores, read_ntrex, sound

DEFAULTS: tuple[Filter, ...] = tuple(getattr(own, name)() for name in own.__all__)


def _with(other: Filter) -> tuple[Filter, ...]:
    """The default set with one filter set otherwise."""
    return tuple(other if other.name == filter_.name else filter_ for filter_ in DEFAULTS)


READERS = {"flores": read_flores, "ntrex": read_ntrex}


def first_drop(example: ParallelExample, filters: Sequence[Filter]) -> str | None:
    """The first filter that drops an example, with its reason; None where it stays."""
    for filter_ in filters:
        drop = filter_.judge(example)
        if drop is not None:
            return f"{filter_.name}: {drop.reason}"
    return None


def measured(examples: Sequence[ParallelExample], filters: Sequence[Filter]) -> dict[str, Any]:
    """How many examples are dropped, and by whom."""
    drops = Counter(first_drop(one, filters) for one in examples)
    kept = drops.pop(None, 0)
    n = len(examples)
    return {"n": n, "dropped": n - kept, "share": (n - kept) / n if n else None, "by": dict(drops.most_common())}


def study(texts: Texts, seed: int, filters: Sequence[Filter] = DEFAULTS) -> dict[str, dict[str, Any]]:
    """Language -> kind of fault (and ``clean``, ``sound``) -> what was dropped."""
    found: dict[str, dict[str, Any]] = {}
    for tag in TARGETS:
        found[tag] = {"clean": measured(clean(texts, tag), filters), "sound": measured(sound(texts, tag), filters)}
        for kind, plant in FAULTS.items():
            # Each kind has a generator of its own: leaving one out changes no other.
            examples = list(plant(texts, tag, random.Random(f"{seed}/{tag}/{kind}")))
            found[tag][kind] = measured(examples, filters)
        print(f"{tag} done", file=sys.stderr)
    return found


# What one goal costs the other.
SETTINGS: Mapping[str, Sequence[Filter]] = {
    "defaults": DEFAULTS,
    "max_lost_numbers 0.5": _with(own.Preserved(max_lost_numbers=0.5)),
    "numbers not looked for": _with(own.Preserved(kinds=("addresses", "code", "placeholders"))),
    "unfinished_ratio 0.8, slack 10": _with(own.LengthRatio(unfinished_ratio=0.8, slack=10)),
    "doubtful_ratio 0.7": _with(own.LengthRatio(doubtful_ratio=0.7)),
}
TRADED = ("clean", "sound", "truncated sentence", "truncated document", "lost number")


def trade_off(texts: Texts, seed: int, tag: str = "yo") -> dict[str, dict[str, Any]]:
    """Setting -> kind of fault (and ``clean``) -> what was dropped, for one language."""
    examples = {"clean": clean(texts, tag), "sound": sound(texts, tag)} | {
        kind: list(FAULTS[kind](texts, tag, random.Random(f"{seed}/{tag}/{kind}"))) for kind in TRADED if kind in FAULTS
    }
    return {
        name: {kind: measured(planted, filters) for kind, planted in examples.items()}
        for name, filters in SETTINGS.items()
    }


def speed(texts: Texts, filters: Sequence[Filter] = DEFAULTS) -> dict[str, float]:
    """Examples a second of each filter on German sentences, one thread."""
    examples = clean(texts, "de")
    rates = {}
    for filter_ in filters:
        filter_.judge(examples[0])  # what is loaded once
        start = time.perf_counter()
        for one in examples:
            filter_.judge(one)
        rates[filter_.name] = len(examples) / (time.perf_counter() - start)
    return rates


def table(result: Mapping[str, Any]) -> str:
    """Recall by kind and language, and what clean pairs cost, in percent (Markdown)."""
    lines = []
    for name, found in result["found"].items():
        lines += [f"{name}, % dropped (n)", "", f"| | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
        for kind in ("clean", "sound", *FAULTS):
            cells = (_cell(found[tag][kind]) for tag in found)
            lines.append(f"| {kind} | {' | '.join(cells)} |")
        lines.append("")
    if "trade_off_yo" in result:
        lines += [f"ntrex, yo, % dropped | {' | '.join(TRADED)}", "---" + " | ---" * len(TRADED)]
        for name, by_kind in result["trade_off_yo"].items():
            lines.append(f"{name} | {' | '.join(_cell(by_kind[kind]) for kind in TRADED)}")
        lines.append("")
    rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in result["examples_per_second"].items())
    return "\n".join([*lines, f"examples a second: {rates}"])


def _cell(counts: Mapping[str, Any]) -> str:
    return "-" if not counts["n"] else f"{100 * counts['share']:.1f} ({counts['n']})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.filters", description=__doc__)
    parser.add_argument("--json", action="store_true", help="everything, with reasons, as JSON")
    parser.add_argument("--only", choices=tuple(READERS), help="one of the two data sets")
    parser.add_argument("--seed", type=int, default=0, help="decides the planted faults")
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: put FLORES (SIB-200) and NTREX there, as tests/benchmarks/README.md says.")
    texts = {name: READERS[name]() for name in ([options.only] if options.only else READERS)}
    result = {
        "seed": options.seed,
        "versions": {name: version(name) for name in ("langxfer", "py3langid")},
        "filters": [filter_.model_dump(mode="json") for filter_ in DEFAULTS],
        "found": {name: study(own, options.seed) for name, own in texts.items()},
        "examples_per_second": speed(next(reversed(texts.values()))),
    }
    if "ntrex" in texts:
        result["trade_off_yo"] = trade_off(texts["ntrex"], options.seed)
    print(json.dumps(result, indent=1, ensure_ascii=False) if options.json else table(result))


if __name__ == "__main__":
    main()
