"""Asking a hub: which commit a name stands for. Moving names must never be part of a key."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal

from langxfer.errors import ArtifactError, RecipeError

COMMIT = re.compile("[0-9a-f]{40}")
NAME = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


def cache_folder() -> Path:
    """Where models, conversions and translated segments are kept: ``LANGXFER_CACHE``, or ``~/.cache/langxfer``."""
    return Path(os.environ.get("LANGXFER_CACHE") or Path.home() / ".cache" / "langxfer")


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
    from huggingface_hub import dataset_info, model_info
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    note = cache_folder() / "commits" / "--".join([kind, *name.split("/"), *(revision or "main").split("/")])
    try:
        ask = model_info if kind == "model" else dataset_info
        found = str(ask(name, revision=revision, timeout=20).sha)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise RecipeError(
            f"{option} {name}: the hub has no such {kind}, or it is not open to you ({first_line(error)}). "
            "Check name and revision; for a gated one, log in with `hf auth login`."
        ) from None
    # The HTTP library beneath huggingface_hub, and with it the exceptions for "no network", change by version.
    except Exception as error:
        there = downloaded(kind, name, revision)
        known = _noted(note) or (there and there.name)
        if known is not None:  # without network, what was downloaded before will do
            return known
        raise ArtifactError(
            f"{option} {name}: there is no local one of that name, and the hub did not answer for it "
            f"({first_line(error)}). Check the name and the network, or give a local path."
        ) from None
    _write(note, found)
    return found


def _noted(note: Path) -> str | None:
    try:
        return note.read_text(encoding="utf-8")
    except OSError:
        return None


def _write(note: Path, found: str) -> None:
    """What a name stood for: files are fetched by commit, so the hub's library does not note it."""
    with suppress(OSError):  # the note is for a day without network: no reason to fail today
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary = note.with_name(f"{note.name}.{os.getpid()}")
        temporary.write_text(found, encoding="utf-8")
        temporary.replace(note)


def downloaded(
    kind: Literal["model", "dataset"],
    name: str,
    revision: str | None,
    patterns: Sequence[str] | None = None,
    ignored: Sequence[str] = (),
) -> Path | None:
    """The folder of what was downloaded of a repository before; asks nobody.

    Args:
        patterns: of the files that must all be there. Without, whatever is there will do: nobody downloads all files of
            a repository, and the hub's library calls what is left a broken snapshot.
        ignored: of files that need not be there though ``patterns`` has them.
    """
    from huggingface_hub import snapshot_download

    files = {"allow_patterns": None if patterns is None else list(patterns), "ignore_patterns": list(ignored)}
    try:
        own = snapshot_download(name, repo_type=kind, revision=revision, local_files_only=True, **files)
    except (OSError, ValueError) as error:
        own = getattr(error, "snapshot_path", None) if patterns is None else None
    return None if own is None else Path(own)


def first_line(error: object) -> str:
    """The first line of an error's message, short enough to stand inside another one."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
