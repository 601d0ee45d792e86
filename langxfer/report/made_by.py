"""On what hardware, and with which versions, a model was trained or measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langxfer.report.finished import Finished


@dataclass(frozen=True)
class MadeBy:
    """As manifests say it."""

    hardware: Mapping[str, Any]
    versions: Mapping[str, str]


def made_by(finished: Finished) -> tuple[MadeBy, ...]:
    """Of the training stages of a run, or of the evaluators of an evaluation: those that differ, in order.

    The manifest's own are those of the last invocation, which may have found everything made elsewhere. They stand in
    where no stage says where it was made.
    """
    manifest = finished.manifest
    if finished.kind == "run":
        stages = [stage for stage in manifest["stages"] if stage["artifact"].startswith("train/")]
    else:
        stages = list(manifest["evaluators"].values())
    found = [MadeBy(stage["hardware"], stage["versions"]) for stage in stages if "hardware" in stage]
    last = MadeBy(manifest["hardware"], manifest["versions"])
    return tuple(own for number, own in enumerate(found) if own not in found[:number]) or (last,)


def dropped(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Pairs of a run that are not trained on, by reason: lost in the translation, and lost when it was encoded."""
    return dict(Counter(manifest["data"]["dropped"]) + Counter(manifest["encoded"]["dropped"]))
