"""What each stage took: time, memory as predicted and as it was, tokens, FLOPs, speed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langxfer.report.finished import Finished
from langxfer.report.quantities import duration, quantity, size
from langxfer.report.stage_times import stage_times


@dataclass(frozen=True)
class StageLine:
    """A stage, in words; empty where it does not count something."""

    name: str
    time: str
    memory: str
    predicted: str = ""
    tokens: str = ""
    flops: str = ""
    speed: str = ""
    share: str = ""


def stage_lines(finished: Finished) -> Iterator[StageLine]:
    """The stages of a run, or the evaluators of an evaluation, in order; then all of them together."""
    if finished.kind == "run":
        found = [(row["stage"], row) for row in finished.manifest["stages"]]
    else:
        found = list(finished.manifest["evaluators"].items())
    for name, facts in found:
        for label, seconds, peak in stage_times(name, facts):
            yield StageLine(
                label,
                duration(seconds),
                "" if peak is None else size(peak),
                size(facts["predicted_memory"]) if "predicted_memory" in facts else "",
                **_accounting(facts.get("accounting")),
            )
    if found:
        times, peaks = (list(facts[key] for _, facts in found) for key in ("seconds", "peak_memory"))
        yield StageLine("all", duration(sum(times)), f"at most {size(max(peaks))}")


def _accounting(found: Mapping[str, Any] | None) -> dict[str, str]:
    if found is None:
        return {}
    if "uncounted" in found:
        return {"flops": f"not counted: {found['uncounted']}"}
    tokens = sum(part["tokens"] for own in found["passes"].values() for name, part in own.items() if name != "head")
    return {
        "tokens": f"{tokens:,}",
        "flops": quantity(found["flops"], "FLOP"),
        "speed": quantity(found["flops_per_second"], "FLOP/s") if "flops_per_second" in found else "",
        "share": f"{found['matmul_share']:.0%}" if "matmul_share" in found else "",
    }
