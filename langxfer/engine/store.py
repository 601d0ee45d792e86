"""Artifacts: what a stage made, kept under the hash of everything that decided it.

Present means complete: an artifact is written into ``KEY.partial``, its manifest (with the
checksums of all files) last, and then renamed. What was half done stays in ``KEY.partial``, so
that a stage can go on where it was killed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langxfer.errors import ArtifactError

MANIFEST = "manifest.json"
FULL = "the disk is full. Free some space and run again: finished stages are kept."
# What mkdir raises where a file is in the way, the name is too long, or the file system takes no folders (/proc).
NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)
SCRATCH = "scratch"  # a folder inside a partial artifact that is dropped on commit


def canonical(value: Any) -> str:
    """JSON text that is equal exactly when the values are equal."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Replace a small text file so that a reader sees the old or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")  # of this writer alone
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def as_readable(folder: Path, like: Path) -> None:
    """Give all files of a folder the mode of one of them: safetensors lets nobody but the writer read its files."""
    mode = like.stat().st_mode & 0o777
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


@contextmanager
def alone(lock: Path, option: str = "--runs") -> Iterator[None]:
    """One process or thread on this machine at a time comes in; ``lock`` is the file that they agree on.

    Whoever is in must not ask for the same file again: it would wait for itself.
    """
    make_folder(lock.parent, option)
    with storage_errors(lock.parent, option):
        file = open(lock, "w")  # noqa: SIM115 (held open as the lock)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        file.close()


@dataclass(frozen=True)
class Artifact:
    """A complete artifact on disk."""

    stage: str
    key: str
    path: Path
    manifest: Mapping[str, Any]

    @property
    def unfinished(self) -> str | None:
        """Why the stage is done again by the next run, although this is sound; None when nothing is missing."""
        return self.manifest.get("facts", {}).get("unfinished")


@contextmanager
def storage_errors(where: Path, option: str = "--runs") -> Iterator[None]:
    """A full or read-only disk becomes a sentence instead of a traceback; ``option`` chooses another place."""
    try:
        yield
    except Exception as error:
        if "No space left on device" in str(error):  # safetensors and torch wrap the system's error in their own
            raise ArtifactError(f"{where}: {FULL}") from None
        if not isinstance(error, OSError):
            raise
        if error.errno == errno.EDQUOT:
            raise ArtifactError(f"{where}: {FULL}") from None
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        raise ArtifactError(
            f"{error.filename or where}: cannot write ({error.strerror}). Choose another folder with {option}."
        ) from None


def make_folder(path: Path, option: str = "--runs") -> None:
    """Make a folder with those around it, unless it is there.

    Raises:
        ArtifactError: there can be no folder, or nothing can be written.
    """
    with storage_errors(path, option):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in NO_FOLDER:
                raise
            raise ArtifactError(
                f"{error.filename or path}: cannot make this folder ({error.strerror}). Choose another one with "
                f"{option}."
            ) from None


def _check_place(root: Path) -> None:
    """See that a folder can be there, if it is not yet."""
    there = next((path for path in (root, *root.parents) if os.path.lexists(path)), None)
    if there is not None and not os.path.isdir(there):
        raise ArtifactError(f"{there}: is not a folder. Choose another one with --runs.")


class Store:
    """The artifacts under one folder, ``ROOT/STAGE/KEY``.

    Raises:
        ArtifactError: ``root`` is no folder, or lies in something that is none.
    """

    def __init__(self, root: Path):
        _check_place(root)
        self.root = root

    def find(self, stage: str, key: str, *, verify: bool = True) -> Artifact | None:
        """The artifact, or None when it is absent, incomplete or (with ``verify``) corrupt."""
        path = self.root / stage / key
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            sound = manifest["key"] == key and all(
                (path / name).stat().st_size == entry["bytes"]
                and not (verify and file_digest(path / name) != entry["sha256"])
                for name, entry in manifest["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Artifact(stage, key, path, manifest) if sound else None

    def partial(self, stage: str, key: str) -> Path:
        """Where an artifact is made; what is there already was left by a killed run."""
        return self.root / stage / f"{key}.partial"

    @contextmanager
    def locked(self, stage: str, key: str) -> Iterator[None]:
        """Keeps other processes and threads on this machine from making the same artifact at the same time."""
        with alone(self.root / stage / f".{key}.lock"):
            yield

    def commit(self, stage: str, key: str, what: Any, facts: Mapping[str, Any]) -> Artifact:
        """Turn the partial artifact into a complete one. ``facts`` are kept, but decide nothing."""
        partial, final = self.partial(stage, key), self.root / stage / key
        with storage_errors(final):
            shutil.rmtree(partial / SCRATCH, ignore_errors=True)
            files = {
                str(path.relative_to(partial)): {"sha256": file_digest(path), "bytes": path.stat().st_size}
                for path in sorted(partial.rglob("*"))
                if path.is_file() and path.name != MANIFEST
            }
            manifest = {"stage": stage, "key": key, "what": what, "files": files, **facts}
            write_atomically(partial / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))
            as_readable(partial, partial / MANIFEST)
            if final.exists():  # a corrupt or an unfinished one, or it would have been used
                shutil.rmtree(final)
            os.replace(partial, final)
        return Artifact(stage, key, final, manifest)

    def alike(self, stage: str, what: Mapping[str, Any], apart_from: Collection[str]) -> list[Path]:
        """Folders of the sound artifacts of a stage that have these values, and whatever values of other names."""
        found: list[Path] = []
        for path in sorted(self.root.glob(f"{stage}/*/{MANIFEST}")):
            try:
                own = dict(json.loads(path.read_text(encoding="utf-8"))["what"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            same = {name: value for name, value in own.items() if name not in apart_from} == what
            if same and self.find(stage, path.parent.name) is not None:
                found.append(path.parent)
        return found

    def nearest(self, stage: str, what: Mapping[str, Any]) -> list[str] | None:
        """How ``what`` differs from the most similar artifact of the stage, as ``path old -> new``.

        None when there is no artifact of this stage at all.
        """
        wanted = flatten(what)
        best: list[str] | None = None
        for path in sorted(self.root.glob(f"{stage}/*/{MANIFEST}")):
            if path.parent.name.endswith(".partial"):
                continue
            try:
                found = flatten(json.loads(path.read_text(encoding="utf-8"))["what"])
            except (OSError, ValueError, KeyError):
                continue
            changes = [
                f"{name} {_short(found.get(name))} -> {_short(wanted.get(name))}"
                for name in sorted(wanted.keys() | found.keys())
                if wanted.get(name) != found.get(name)
            ]
            if best is None or len(changes) < len(best):
                best = changes
        return best


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """``{"a": [{"b": 1}]}`` becomes ``{"a[0].b": 1}``."""
    if isinstance(value, dict) and value:
        return {
            name: leaf
            for key, item in value.items()
            for name, leaf in flatten(item, f"{path}.{key}" if path else str(key)).items()
        }
    if isinstance(value, list | tuple) and value:
        return {name: leaf for i, item in enumerate(value) for name, leaf in flatten(item, f"{path}[{i}]").items()}
    return {path: value}


def _short(value: Any) -> str:
    text = "(absent)" if value is None else str(value)
    return text[:10] + "…" if len(text) == 64 and set(text) <= set("0123456789abcdef") else text
