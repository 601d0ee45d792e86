"""Reference log-probabilities on disk: shared, resumed, and never those of something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from langxfer.data import View
from langxfer.engine import reference, weights
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.recipe import Compute, Model

VIEWS = sorted(View)
BUDGET = 400


def test_references_resume_and_refuse_what_is_not_theirs(
    folder: Path, encoded: list[Encoded], references: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "PART", 4)
    network = weights.load_model(Model(source=str(folder)), folder, [], Compute(), torch.device("cpu"))
    scorer, scored = Scorer(network, "tree"), []
    plain = reference.score_part

    def watched(scorer: Scorer, examples: Sequence[Encoded], *rest: Any) -> Any:
        scored.append(len(examples))
        return plain(scorer, examples, *rest)

    monkeypatch.setattr(reference, "score_part", watched)
    for rank in range(2):
        reference.write_parts(tmp_path, scorer, encoded, VIEWS, BUDGET, (rank, 2))
    assert scored == [4, 3, 4]
    found = reference.read(tmp_path, list(reversed(encoded)), VIEWS)
    for name, own in references.items():
        for view in VIEWS:
            torch.testing.assert_close(found[name][view], own[view])
    (tmp_path / "part-00001.safetensors").unlink()
    with pytest.raises(reference.ArtifactError, match="no reference log-probabilities of 4 examples"):
        reference.read(tmp_path, encoded, VIEWS)
    reference.write_parts(tmp_path, scorer, encoded, VIEWS, BUDGET)
    assert scored == [4, 3, 4, 4]
    with pytest.raises(reference.ArtifactError, match="of other examples"):
        reference.read(tmp_path, encoded[1:], VIEWS)
    longer = replace(encoded[0], responses={view: [*ids, 5] for view, ids in encoded[0].responses.items()})
    with pytest.raises(reference.ArtifactError, match="values for"):
        reference.read(tmp_path, [longer, *encoded[1:]], VIEWS)
