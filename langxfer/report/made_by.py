"""On what hardware, and with which versions, a model was trained or measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
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
    return trained_by(finished.manifest) if finished.kind == "run" else measured_by(finished)


def trained_by(manifest: Mapping[str, Any]) -> tuple[MadeBy, ...]:
    """Of the training stages in a run's manifest, or in what an evaluation of the run keeps of it."""
    return _different(manifest, [own for own in manifest.get("stages", ()) if _is_training(own)])


def measured_by(finished: Finished) -> tuple[MadeBy, ...]:
    """Of the evaluations of the adapted model."""
    manifest = finished.manifest
    if finished.kind == "evaluation":
        return _different(manifest, manifest.get("evaluators", {}).values())
    return _different(manifest, [own for own in manifest["stages"] if own["stage"].startswith("evaluate after: ")])


def _is_training(stage: Mapping[str, Any]) -> bool:
    return str(stage.get("artifact", "")).startswith("train/")


def _different(manifest: Mapping[str, Any], stages: Iterable[Mapping[str, Any]]) -> tuple[MadeBy, ...]:
    found = [MadeBy(stage["hardware"], stage["versions"]) for stage in stages if "hardware" in stage]
    last = MadeBy(manifest["hardware"], manifest["versions"])
    return tuple(own for number, own in enumerate(found) if own not in found[:number]) or (last,)


def dropped(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Pairs of a run that are not trained on, by reason: lost in the translation, and lost when it was encoded."""
    return dict(Counter(manifest["data"]["dropped"]) + Counter(manifest["encoded"]["dropped"]))
