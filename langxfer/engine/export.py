"""Writes a run's model for other programs: merged safetensors in another precision, or CTranslate2's format.

An export is checked before it takes its name: it answers a few prompts, and its manifest says how its tokens compare
with those of the run's model. It is written beside its place and renamed, so a folder with a manifest is complete. An
earlier export is renamed too, and deleted when the new one is there.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from langxfer.engine import model_files, models
from langxfer.engine.store import NO_FOLDER, as_readable, file_digest, make_folder, storage_errors, write_atomically
from langxfer.errors import ArtifactError, DataError, RecipeError
from langxfer.hub import first_line
from langxfer.report.finished import Finished, read_finished
from langxfer.translation.conversion import run_converter

if TYPE_CHECKING:
    from langxfer.engine.agreement import Agreement

MANIFEST = "langxfer-export.json"
Format = Literal["safetensors", "ctranslate2"]
Dtype = Literal["float32", "bfloat16", "float16"]
Quantization = Literal[
    "float32", "float16", "bfloat16", "int16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"
]
PER_LANGUAGE = 2  # prompts asked of each language that the run has answers in
PROMPTS = ("How are you?", "Name three rivers.", "Write a sentence about bread.")  # where the run has no answers
LOOSE = {"safetensors": ("bfloat16", "float16"), "ctranslate2": get_args(Quantization)[1:]}


@dataclass(frozen=True)
class Options:
    """What is written.

    Attributes:
        dtype: of safetensors; None keeps the run's.
        max_shard_size: of safetensors, such as ``5GB``; None keeps the run's files.
        quantization: of CTranslate2's weights; None keeps the run's precision.

    Raises:
        RecipeError: an option of the other format.
    """

    format: Format
    dtype: Dtype | None = None
    max_shard_size: str | None = None
    quantization: Quantization | None = None

    def __post_init__(self) -> None:
        if self.format == "safetensors" and self.quantization:
            raise RecipeError("--quantization is for --format ctranslate2. Use --dtype.")
        if self.format == "ctranslate2" and (self.dtype or self.max_shard_size):
            raise RecipeError("--dtype and --max-shard-size are for --format safetensors. Use --quantization.")

    @property
    def exact(self) -> bool:
        """Whether the weights stay what they are, so that tokens have to be the same."""
        return (self.dtype or self.quantization) not in LOOSE[self.format]


def export(run: Path, target: Path, options: Options, say: Callable[[str], None] = lambda sentence: None) -> Path:
    """Write the model of a finished run into ``target``, which is made, empty, or an earlier export.

    Raises:
        RecipeError: CTranslate2 does not know the architecture, or an option cannot be had.
        DataError: there is no finished run.
        ArtifactError: the model is missing, ``target`` holds something else, another export writes there, or the export
            does not answer as the model does although its weights are the same.
    """
    finished = read_finished(run)
    if finished.recipe is None:
        raise DataError(f"{run} is an evaluation. Only a run has a model to export.")
    model = run / "model"
    model_files.check(model)
    target = _place(target)
    _check_target(target)
    _check_loads(model)
    _check_fits(model, options)
    partial, earlier = (target.with_name(f".{target.name}.{part}") for part in ("partial", "earlier"))
    with storage_errors(target, "-o"), _alone(target):
        _put_back(earlier, target)
        shutil.rmtree(partial, ignore_errors=True)
        make_folder(partial, "-o")  # seen before the model is read; the writers make it themselves
        partial.rmdir()
        try:
            WRITERS[options.format](model, partial, options)
            compared = _compare(finished, model, partial, options, say)
            _write_manifest(finished, partial, options, compared)
            as_readable(partial, partial / MANIFEST)
            _check_target(target)
            _replace(partial, target, earlier)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def _place(target: Path) -> Path:
    """Where the export goes, links and ``.`` followed, with the folders above it."""
    try:
        found = target.resolve()
    except RuntimeError:  # of links that lead to each other
        raise ArtifactError(f"{target}: is a link that leads to itself. Choose another folder with -o.") from None
    make_folder(found.parent, "-o")
    return found


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One export at a time into a folder: what one that was killed left beside it belongs to whoever is here."""
    lock = target.with_name(f".{target.name}.lock")
    try:
        file = open(lock, "w")  # noqa: SIM115 (held open as the lock)
    except OSError as error:
        if error.errno not in NO_FOLDER:
            raise
        raise ArtifactError(
            f"{target}: cannot make this folder ({error.strerror}). Choose another one with -o."
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(file.fileno()), os.stat(lock))  # not what another one has just removed
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if not mine:
            raise ArtifactError(
                f"{target}: another export writes there. Wait for it, or choose another folder with -o."
            )
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _replace(partial: Path, target: Path, earlier: Path) -> None:
    """Put the new export in the place of what is there; the earlier one is never away for longer than a moment."""
    if target.exists():
        os.replace(target, earlier)
    try:
        os.replace(partial, target)
    finally:
        _put_back(earlier, target)


def _put_back(earlier: Path, target: Path) -> None:
    """The earlier export, where there is no new one in its place: else it is deleted."""
    if earlier.exists() and not target.exists():
        os.replace(earlier, target)
    shutil.rmtree(earlier, ignore_errors=True)


def _check_target(target: Path) -> None:
    if not os.path.isdir(target):  # which answers no for a name that is too long
        if os.path.exists(target):
            raise ArtifactError(f"{target}: is a file. Choose another folder with -o.")
        return
    if any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise ArtifactError(f"{target}: is not empty, and no export of langxfer. Choose another folder with -o.")
    own = {MANIFEST, *_files_of(target)}
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target).as_posix()
        if name not in own and (path.is_symlink() or not path.is_dir()):
            raise ArtifactError(
                f"{target}: holds {name}, which is not of the export there. Move it, or choose another folder with -o."
            )


def _files_of(target: Path) -> Collection[str]:
    """What the manifest of an export names; nothing where it cannot be read."""
    try:
        return json.loads((target / MANIFEST).read_text(encoding="utf-8"))["files"].keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()


def _check_loads(model: Path) -> None:
    """Configuration and tokenizer; whether the weights are whole is known already."""
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    for kind in (AutoConfig, AutoTokenizer, GenerationConfig):
        try:
            kind.from_pretrained(model)
        except Exception as error:  # whatever transformers and tokenizers make of files that are cut
            raise ArtifactError(
                f"{model}: cannot be loaded ({type(error).__name__}: {first_line(error)}). "
                "Where its files are damaged, delete this folder: the same langxfer run writes it anew."
            ) from None


def _check_fits(model: Path, options: Options) -> None:
    """Weights that are too large for half precision would become infinite, and every answer with them."""
    import torch

    wanted = options.dtype or options.quantization
    if wanted not in ("float16", "bfloat16"):  # integers are scaled
        return
    for name, value in model_files.overflow(model, getattr(torch, wanted)):
        raise ArtifactError(
            f"{model}: {name} has the value {value:g}, and the largest of {wanted} is "
            f"{torch.finfo(getattr(torch, wanted)).max:g}. Export it in another precision."
        )


def _safetensors(model: Path, target: Path, options: Options) -> None:
    if options.dtype is None and options.max_shard_size is None:
        shutil.copytree(model, target)
        return
    import torch
    from transformers import AutoModelForCausalLM

    from langxfer.engine.weights import quiet

    shards = {"max_shard_size": options.max_shard_size} if options.max_shard_size else {}
    with quiet():
        kept = getattr(torch, options.dtype) if options.dtype else "auto"
        network = AutoModelForCausalLM.from_pretrained(model, dtype=kept)
        try:
            network.save_pretrained(target, **shards)
        except ValueError as error:  # of a size that is none
            raise RecipeError(f"--max-shard-size {options.max_shard_size}: {error}") from None
    _copy_others(model, target)


def _ctranslate2(model: Path, target: Path, options: Options) -> None:
    from transformers import AutoConfig

    name = type(AutoConfig.from_pretrained(model)).__name__
    known = known_architectures()
    if name not in known:
        names = ", ".join(own.removesuffix("Config") for own in known)
        raise RecipeError(
            f"CTranslate2 {version('ctranslate2')} does not know the architecture {name.removesuffix('Config')}. "
            f"It knows: {names}."
        )
    run_converter(model, target, options.quantization, "the run's model")
    _fill_tokens(target / "config.json")
    _copy_others(model, target)


def _fill_tokens(config: Path) -> None:
    """Some converters write null for a special token that the tokenizer lacks, which CTranslate2 cannot read."""
    values = json.loads(config.read_text(encoding="utf-8"))
    filled = {name: "" if name.endswith("_token") and value is None else value for name, value in values.items()}
    config.write_text(json.dumps(filled, indent=2) + "\n", encoding="utf-8")


WRITERS: dict[Format, Callable[[Path, Path, Options], None]] = {
    "ctranslate2": _ctranslate2,
    "safetensors": _safetensors,
}


def known_architectures() -> list[str]:
    """Names of the configurations of language models that CTranslate2 converts."""
    from ctranslate2.converters.transformers import _MODEL_LOADERS

    names = {name: loader.architecture_name for name, loader in _MODEL_LOADERS.items()}
    return sorted(name for name, own in names.items() if own.endswith(("ForCausalLM", "LMHeadModel")))


def _copy_others(model: Path, target: Path) -> None:
    """Tokenizer, template, card: what a program needs beside the weights."""
    for path in sorted(path for pattern in (*models.TOKENIZER, models.CARD) for path in model.glob(pattern)):
        if path.is_file() and not path.name.endswith(".safetensors") and not (target / path.name).exists():
            shutil.copyfile(path, target / path.name)


def _compare(run: Finished, model: Path, exported: Path, options: Options, say: Callable[[str], None]) -> Agreement:
    """Ask both models a few prompts.

    Raises:
        ArtifactError: answers differ by more than rounding, and the weights are the same.
    """
    from langxfer.engine import agreement

    if options.format == "safetensors":
        answer = agreement.greedy(agreement.load(exported), model)
    else:
        whole = (options.quantization or "float32").startswith("int")
        answer = agreement.ctranslate2_greedy(exported, model, "default" if whole else "float32")
    found = agreement.agreement(model, _prompts(run), answer)
    wrong = [own for own in found.differences if not own.near]
    if wrong and options.exact:
        first = wrong[0]
        raise ArtifactError(
            f"the exported model does not answer as the run's does: to {first.prompt!r} it gives token {first.found} "
            f"in place of {first.expected} at position {first.position}. {options.format} is not fit for this model."
        )
    say(f"{found.agreed} of {found.tokens} tokens of {found.prompts} answers are those of the run's model")
    return found


def _prompts(run: Finished) -> list[str]:
    """The first prompts of each language that the run has answers to, or some of ours."""
    found: dict[str, list[str]] = {}
    for evaluator in run.after:
        for row in run.answers(evaluator):
            own = found.setdefault(row["language"], [])
            if len(own) < PER_LANGUAGE and row["prompt"] not in own:
                own.append(row["prompt"])
    return [prompt for own in found.values() for prompt in own] or list(PROMPTS)


def _write_manifest(run: Finished, folder: Path, options: Options, compared: Agreement) -> None:
    files = {
        path.relative_to(folder).as_posix(): {"sha256": file_digest(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    value = {
        "title": run.title,
        "run_key": run.manifest["run_key"],
        **asdict(options),
        "versions": {name: version(name) for name in ("langxfer", "torch", "transformers", "ctranslate2")},
        "agreement": asdict(compared),
        "files": files,
    }
    write_atomically(folder / MANIFEST, json.dumps(value, indent=1, ensure_ascii=False))
