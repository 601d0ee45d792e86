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


def test_what_another_artifact_knows_of_the_same_tokens_is_taken_from_it(
    folder: Path, encoded: list[Encoded], references: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Smaller or larger, under other names, with more views; other tokens are scored."""
    network = weights.load_model(Model(source=str(folder)), folder, [], Compute(), torch.device("cpu"))
    scorer, scored = Scorer(network, "tree"), []
    plain = reference.score_part

    def watched(scorer: Scorer, examples: Sequence[Encoded], *rest: Any) -> Any:
        scored.extend(example.id for example in examples)
        return plain(scorer, examples, *rest)

    monkeypatch.setattr(reference, "score_part", watched)

    def write(name: str, examples: Sequence[Encoded], views: Sequence[View], others: Sequence[str]) -> Any:
        where = tmp_path / name
        where.mkdir()
        scored.clear()
        known = reference.Known([tmp_path / other for other in others])
        reference.write_parts(where, scorer, examples, views, BUDGET, known=known)
        return reference.read(where, examples, views)

    write("small", encoded[:4], VIEWS, [])
    assert len(scored) == 4
    large = write("large", encoded, VIEWS, ["small"])
    assert sorted(scored) == sorted(example.id for example in encoded[4:])
    for name, own in references.items():
        for view in VIEWS:
            torch.testing.assert_close(large[name][view], own[view])
    renamed = [replace(example, id=f"x{number}") for number, example in enumerate(encoded[2:7])]
    taken = write("renamed", renamed, [View.SS, View.TT], ["small", "large"])
    assert not scored
    assert torch.equal(taken["x3"][View.TT], large[encoded[5].id][View.TT])
    other = replace(encoded[0], responses={view: [*ids[:-1], 7, ids[-1]] for view, ids in encoded[0].responses.items()})
    write("other", [other, *encoded[1:]], VIEWS, ["large"])
    assert scored == [other.id]
    write("more", encoded, VIEWS, ["renamed"])  # which lacks two views
    assert len(scored) == len(encoded)


def test_parts_that_do_not_name_their_tokens_give_nothing(encoded: list[Encoded], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"SS": torch.zeros(3)}, tmp_path / "part-00000.safetensors", metadata={"example_ids": "[]"})
    assert not reference.Known([tmp_path]).has(encoded[0], VIEWS)
