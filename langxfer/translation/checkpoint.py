"""Models in Hugging Face format that are not the trained one: what they are, and where their files are.

``identity`` names a model without its weights having to be there; ``folder`` has them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from langxfer import hub
from langxfer.errors import ArtifactError, RecipeError
from langxfer.hub import first_line

SAFE_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
PICKLED_WEIGHTS = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
TOKENIZER = (
    "config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json",
    "vocab*", "merges.txt", "*.model", "*.spm", "chat_template*",
)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """A model: a local folder, or a hub id (``org/name``) with an optional revision.

    Attributes:
        owner: whose options ``model`` and ``revision`` are, for messages.
    """

    source: str
    revision: str | None = None
    owner: str = "translator"

    @property
    def is_folder(self) -> bool:
        return Path(self.source).is_dir()

    def identity(self) -> dict[str, str | None]:
        """``model`` and ``revision`` as they belong in a cache key: a digest of files, or an exact commit.

        A folder's weights, configuration and tokenizer files count, its path does not.

        Raises:
            RecipeError: there is no such folder or hub model.
            ArtifactError: the hub did not answer.
        """
        if self.is_folder:
            if self.revision:
                raise RecipeError(f"{self.owner}.revision has no effect with the folder {self.source}. Remove it.")
            return {"model": f"sha256:{_folder_digest(Path(self.source), self.owner)}", "revision": None}
        return {"model": self.source, "revision": self._commit()}

    def folder(self, weights: bool = True) -> Path:
        """The folder with all files, or with all but the weights; downloads what is not there yet.

        Raises:
            RecipeError: as ``identity``.
            ArtifactError: the download failed.
        """
        if self.is_folder:
            _weights(Path(self.source), self.owner)
            return Path(self.source)
        commit = self._commit()
        for patterns in (SAFE_WEIGHTS, PICKLED_WEIGHTS) if weights else ((),):
            here = hub.downloaded("model", self.source, commit, [*TOKENIZER, *patterns])
            if here is not None and (here / "config.json").is_file() and (_weight_files(here) or not weights):
                return here
        from huggingface_hub import HfApi, snapshot_download

        try:
            wanted = [*TOKENIZER]
            if weights:
                names = HfApi().list_repo_files(self.source, revision=commit)
                safe = any(name.endswith(".safetensors") for name in names)
                wanted += SAFE_WEIGHTS if safe else PICKLED_WEIGHTS
            return Path(snapshot_download(self.source, revision=commit, allow_patterns=wanted))
        except Exception as error:  # see hub.commit: what "no network" raises changes by version
            raise ArtifactError(
                f"{self.owner}.model {self.source}: the download failed ({first_line(error)})."
            ) from None

    def _commit(self) -> str:
        if self.source.startswith((".", "/", "~")) or not hub.NAME.fullmatch(self.source):
            raise RecipeError(
                f"{self.owner}.model {self.source}: no such folder, and it is not a hub id (org/name). "
                "Relative paths are taken from the recipe's folder."
            )
        return hub.commit("model", self.source, self.revision, f"{self.owner}.model")


def _weight_files(folder: Path) -> list[Path]:
    """The weights that transformers would read: pickled ones only where there are no others."""
    for patterns in (SAFE_WEIGHTS, PICKLED_WEIGHTS):
        found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
        if any(not path.name.endswith(".json") for path in found):
            return found
    return []


def _weights(folder: Path, owner: str) -> list[Path]:
    found = _weight_files(folder)
    if not found or not (folder / "config.json").is_file():
        raise RecipeError(
            f"{owner}.model {folder}: expected config.json and *.safetensors (or pytorch_model.bin) there. "
            "Point it at a folder that save_pretrained wrote."
        )
    return found


def tokenizer_files(folder: Path) -> list[Path]:
    """Configuration and tokenizer files of a checkpoint."""
    return sorted({path for pattern in TOKENIZER for path in folder.glob(pattern) if path.is_file()})


def _folder_digest(folder: Path, owner: str) -> str:
    files = {path.name: path.stat() for path in [*_weights(folder, owner), *tokenizer_files(folder)]}
    digests = {name: _file_digest(str(folder / name), stat.st_size, stat.st_mtime_ns) for name, stat in files.items()}
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


@lru_cache
def _file_digest(path: str, size: int, changed_ns: int) -> str:
    """Weights are large, and a run asks for their digest more than once."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
