"""Files that are on disk or in AlpacaEval's hub repository."""

from __future__ import annotations

from pathlib import Path

from langxfer.builtin.evaluators.files import digest_of
from langxfer.errors import DataError
from langxfer.records import hub_file

HUB = "hub:"  # hub:FILE is a file of the repository
REPOSITORY = "tatsu-lab/alpaca_eval"


def absolute(source: str, folder: Path) -> str:
    """A relative path taken from ``folder``; ``hub:…`` and absolute ones as they are."""
    return source if source.startswith(HUB) else str((folder / source).resolve())


def located(source: str, revision: str | None, option: str) -> Path:
    """The file that an option names; one on the hub is downloaded, or taken from what was downloaded before.

    Raises:
        DataError: it is on the hub, and there is no revision or no way to get it.
    """
    if not source.startswith(HUB):
        return Path(source)
    if revision is None:
        raise DataError(
            f"{option} {source}: what is on the hub can change. Give the commit of {REPOSITORY} as revision, "
            "40 hexadecimal digits."
        )
    return hub_file(REPOSITORY, source.removeprefix(HUB), revision, option)


def digest(path: Path, option: str) -> str:
    """SHA-256 of a file's content.

    Raises:
        DataError: it cannot be read.
    """
    return f"sha256:{digest_of(path, option)}"
