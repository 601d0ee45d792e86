"""Publishes a finished run as a model repository of the Hugging Face hub: the model, its card, and what made it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.engine import model_files
from langxfer.errors import ArtifactError, DataError, RecipeError
from langxfer.hub import NAME, first_line
from langxfer.report.card import model_card
from langxfer.report.finished import Finished, read_finished
from langxfer.report.html.writing import REPORT
from langxfer.report.public import PublicRun

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CARD = "README.md"
# Of an earlier push with another number of shards: transformers might load them in place of the new ones.
WEIGHTS = re.compile(r"model\.safetensors|model-\d{5}-of-\d{5}\.safetensors|model\.safetensors\.index\.json")


@dataclass(frozen=True)
class Upload:
    """What a push sends. Making one sends nothing.

    Attributes:
        repository: ``NAMESPACE/NAME``.
        private: who sees the repository where it is new; one that is there stays as it is.
        title: of the run.
        files: by name in the repository; the text, or where the file is.
    """

    repository: str
    private: bool
    title: str
    files: Mapping[str, str | Path]

    @property
    def card(self) -> str:
        return str(self.files[CARD])

    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {
            name: own.stat().st_size if isinstance(own, Path) else len(own.encode()) for name, own in self.files.items()
        }


@dataclass(frozen=True)
class Pushed:
    """What became of a push.

    Attributes:
        address: of the commit.
        deleted: weights of an earlier push that were in the repository.
    """

    address: str
    deleted: tuple[str, ...]


def prepare(
    run: Path, repository: str, *, private: bool = True, licence: str | None = None, card: Path | None = None
) -> Upload:
    """Collect the files of a run. No request is made.

    Args:
        run: the run folder.
        repository: ``NAMESPACE/NAME``.
        licence: of the model, for the card's front matter.
        card: a card to take in place of the one that is made of the run.

    Raises:
        RecipeError: the repository's name is none, or the card cannot be used.
        DataError: there is no finished run.
        ArtifactError: its model is missing.
    """
    _check_repository(repository)
    finished = read_finished(run)
    if finished.recipe is None:
        raise DataError(f"{run} is an evaluation. Only a run has a model to push.")
    text = _read_card(card) if card else model_card(finished, repository, licence)
    files = {**dict(_model(run / "model")), CARD: text, **dict(_texts(finished))}
    return Upload(repository, private, finished.title, dict(sorted(files.items())))


def push(upload: Upload) -> Pushed:
    """Send everything in one commit, and make the repository where there is none.

    Raises:
        ArtifactError: no token, no permission, no network, or the hub refused.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    token = get_token()
    if not token:
        raise ArtifactError(f"{upload.repository}: no token. Log in with `hf auth login`, or set HF_TOKEN.")
    api = HfApi(token=token, library_name="langxfer", library_version=version("langxfer"))
    added = [
        CommitOperationAdd(name, own if isinstance(own, Path) else own.encode()) for name, own in upload.files.items()
    ]
    try:
        api.create_repo(upload.repository, private=upload.private, exist_ok=True)
        stale = _stale(api, upload)
        operations = [*map(CommitOperationDelete, stale), *added]
        done = api.create_commit(upload.repository, operations, commit_message=f"{upload.title}, by langxfer")
    except Exception as error:  # of the HTTP library beneath huggingface_hub too, which changes by version
        raise ArtifactError(f"{upload.repository}: {_reason(error).replace(token, '…')}") from None
    return Pushed(done.commit_url, tuple(stale))


def _check_repository(repository: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    problem = None if NAME.fullmatch(repository) else "expected NAMESPACE/NAME, such as my-name/my-model"
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        problem = problem or first_line(error)
    if problem:
        raise RecipeError(f"REPO_ID {repository!r}: {problem.rstrip('.')}.")


def _model(folder: Path) -> Iterator[tuple[str, Path]]:
    model_files.check(folder)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != CARD:
            yield path.relative_to(folder).as_posix(), path


def _texts(run: Finished) -> Iterator[tuple[str, str]]:
    """What made the model and what it scored, without folders of this machine; files keep their names."""
    public = PublicRun(run)
    texts = {"filled.yaml": public.filled, "recipe.yaml": public.written, "scores.json": public.scores}
    yield from ((name, text) for name, text in texts.items() if text is not None)
    yield REPORT, public.report


def _read_card(path: Path) -> str:
    from huggingface_hub import ModelCard

    if not path.is_file():
        raise RecipeError(f"--card {path}: {'is a folder' if path.is_dir() else 'no such file'}.")
    try:
        return str(ModelCard.load(path))
    except UnicodeDecodeError:
        raise RecipeError(f"--card {path}: is not UTF-8. Save the file as UTF-8.") from None
    except Exception as error:  # front matter that is no YAML or not what the hub reads
        raise RecipeError(f"--card {path}: cannot be used ({first_line(error)}).") from None


def _stale(api: HfApi, upload: Upload) -> list[str]:
    there = api.list_repo_files(upload.repository)
    return [name for name in there if name not in upload.files and WEIGHTS.fullmatch(name)]


def _reason(error: Exception) -> str:
    """Why the hub did not take it, and what to do."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so nothing can be sent. Unset it and push again."
    if status == 401:
        return "the hub does not accept the token. Log in again with `hf auth login`, or set HF_TOKEN."
    if status == 403:
        return f"the token may not write there ({first_line(error)}). It needs write access to the namespace."
    if status is not None:
        return f"the hub refused it ({first_line(error)})."
    return f"the hub did not answer ({type(error).__name__}: {first_line(error)}). Check the network and HF_ENDPOINT."
