"""Asking a hub: which commit a name stands for. Moving names must never be part of a key."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

from langxfer.errors import ArtifactError, RecipeError

COMMIT = re.compile("[0-9a-f]{40}")
NAME = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


@lru_cache
def commit(kind: Literal["model", "dataset"], name: str, revision: str | None, option: str) -> str:
    """The commit that a revision of a hub repository stands for.

    Asked once a process, so that a branch that moves meanwhile does not split a run.

    Args:
        option: the recipe's option that holds the name, for messages.

    Raises:
        RecipeError: the hub has no such repository or revision, or keeps it from us.
        ArtifactError: the hub did not answer, and nothing was downloaded before.
    """
    if revision and COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import dataset_info, model_info, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        ask = model_info if kind == "model" else dataset_info
        return str(ask(name, revision=revision, timeout=20).sha)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise RecipeError(
            f"{option} {name}: the hub has no such {kind}, or it is not open to you ({first_line(error)}). "
            "Check name and revision; for a gated one, log in with `hf auth login`."
        ) from None
    # The HTTP library beneath huggingface_hub, and with it the exceptions for "no network", change by version.
    except Exception as error:
        try:  # without network, what was downloaded before will do
            return Path(snapshot_download(name, repo_type=kind, revision=revision, local_files_only=True)).name
        except (OSError, ValueError):
            raise ArtifactError(
                f"{option} {name}: there is no local one of that name, and the hub did not answer for it "
                f"({first_line(error)}). Check the name and the network, or give a local path."
            ) from None


def first_line(error: object) -> str:
    """The first line of an error's message, short enough to stand inside another one."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
