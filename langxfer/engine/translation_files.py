"""Files through a translator: what ``langxfer translate`` does.

A file is written under the name ``NAME.partial`` and renamed when it is complete.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

from langxfer.components import Pair
from langxfer.engine import models
from langxfer.engine.document_files import SUFFIXES, Layout, layout_of, read_pieces
from langxfer.engine.pieces import Piece
from langxfer.engine.quality import Report
from langxfer.engine.running import SaysHow
from langxfer.engine.translation_job import Failed, TranslationJob
from langxfer.errors import ArtifactError, DataError, RecipeError
from langxfer.events import Event, Notice, Progress
from langxfer.recipe import Translating
from langxfer.translation.pipeline import WINDOW, check_spoken, open_pipeline
from langxfer.translation.usage import listed

STDIN = Path("-")
STREAM_WINDOW = 500  # segments read ahead where somebody waits for each result; a file is quicker with more


@dataclass(frozen=True)
class Request:
    """What is to be translated, and how.

    Attributes:
        translating: the translator, and what is measured.
        pair: direction.
        inputs: files; ``-`` is stdin.
        output: file, or folder where there are several inputs; None is stdout.
        layout: of input, output and references; None goes by the suffix of each input.
        fields: names or paths of the texts in JSON lines; none: the usual ones, as far as they are there.
        failed: what is written where there is no translation (see ``TranslationJob``).
        device: ``auto`` takes CUDA where torch sees a device.
        references: a file laid out as the input, with a translation of every text.
        reference_fields: names or paths in it; none: as ``fields``.
    """

    translating: Translating
    pair: Pair
    inputs: tuple[Path, ...]
    output: Path | None = None
    layout: Layout | None = None
    fields: tuple[str, ...] = ()
    failed: Failed = "empty"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    references: Path | None = None
    reference_fields: tuple[str, ...] = ()


def translate_files(request: Request, observe: Callable[[Event], None] = lambda event: None) -> Report:
    """Do it, and report on it.

    Args:
        request: all that is wanted.
        observe: called with signs of progress.

    Raises:
        RecipeError, DataError: something about the request or the files is wrong; before the model is loaded, if
            it can be known then.
        ArtifactError: a file or the cache cannot be written. What was translated is kept in the cache.
    """
    translator, quality = request.translating.translator, request.translating.quality
    if request.pair.source == request.pair.target:
        raise RecipeError(f"both languages are {request.pair.source}: there is nothing to translate. See --to.")
    back = [Pair(request.pair.target, request.pair.source)] if quality.round_trip else []
    check_spoken(translator, [request.pair, *back])
    targets = _targets(request)
    layouts = {path: request.layout or layout_of(path) for path in request.inputs}
    _check_files(request, targets, layouts)
    device, window = device_of(request.device), STREAM_WINDOW if request.output is None else WINDOW
    printed = _Printed()
    with open_pipeline(translator, device, models.cache_folder(), [request.pair], window) as pipeline:
        job = TranslationJob(pipeline, translator.name, request.pair, request.failed, quality)
        how = SaysHow(pipeline, observe)
        for path in request.inputs:
            with _reading(path) as file, _writing(targets[path], printed.part(layouts[path])) as write:
                pieces = read_pieces(file, _name(path), layouts[path], request.pair, request.fields)
                told = how.before(_told(observe, _name(path)))
                for content in job.pieces(pieces, _references(request, layouts[path]), told):
                    write(content)
        report = job.report(how.before(_told(observe, "there and back")))
        if pipeline.usage:
            observe(Notice(f"translator {translator.name} used {listed(pipeline.usage)}"))
    return report


def _told(observe: Callable[[Event], None], label: str) -> Callable[[int, int | None], None]:
    """A callback (segments done, segments in all) that becomes events."""
    return lambda done, total: observe(Progress(label, done, total, "segments"))


def device_of(choice: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` takes CUDA where torch sees a device.

    Raises:
        RecipeError: CUDA is asked for and there is none.
    """
    if choice != "cpu" and _has_driver():
        import torch

        if torch.cuda.is_available():
            return "cuda"
    if choice == "cuda":
        raise RecipeError("--device is cuda, but torch sees no CUDA device here. Use auto or cpu.")
    return "cpu"


def _has_driver() -> bool:
    """Whether torch, which takes seconds to import, need be asked at all: without a driver there is no device."""
    for name in ("libcuda.so.1", "libamdhip64.so"):
        with suppress(OSError):
            ctypes.CDLL(name)
            return True
    return False


# ---------------------------------------------------------------- files


def _targets(request: Request) -> dict[Path, Path | None]:
    """Where the translation of each input goes."""
    output = request.output
    if output is None or (len(request.inputs) == 1 and not os.path.isdir(output)):
        return dict.fromkeys(request.inputs, output)
    return {path: output / ("stdin" if path == STDIN else path.name) for path in request.inputs}


def _check_files(request: Request, targets: dict[Path, Path | None], layouts: dict[Path, Layout]) -> None:
    """All that can be known to go wrong before a model is loaded."""
    problems = [f"{path}: {why}." for path in request.inputs if path != STDIN and (why := _unreadable(path))]
    if request.references is not None:
        why = _unreadable(request.references)
        problems += [f"{request.references}: {why} (--references)."] if why else _reference_problems(request, layouts)
    problems += _input_problems(request, layouts)
    for path, target in targets.items():
        if target is not None:
            problems += _target_problems(request, path, target)
    if problems:
        raise DataError("\n".join(dict.fromkeys(problems)))


def _target_problems(request: Request, path: Path, target: Path) -> Iterator[str]:
    """Of an output: it must not take the place of what is read."""
    if path != STDIN and _same(target, path):
        yield f"{target} is the input itself. Choose another output."
    if request.references is not None and _same(target, request.references):
        yield f"{target} holds the references, and would be overwritten (-o). Choose another output."
    if not os.path.isdir(target.parent):
        yield f"{target.parent}: no such folder. Make it first."
        return
    try:
        target.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        yield f"{target} cannot be written ({error.strerror}). Choose another output."


def _same(one: Path, other: Path) -> bool:
    """Whether both are there, and one file."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _input_problems(request: Request, layouts: dict[Path, Layout]) -> Iterator[str]:
    several = len(request.inputs) > 1
    if request.fields and "jsonl" not in layouts.values():
        read = ", ".join(f"{_name(path)} is read as {_read_as(layout)}" for path, layout in layouts.items())
        yield f"--fields is for JSON lines, and {read}. Remove it, or say --format jsonl."
    if request.reference_fields and request.references is None:
        yield "--reference-fields is for --references, and there are none. Name them, or remove it."
    elif request.reference_fields and len(request.reference_fields) != len(request.fields):
        named, others = len(request.fields), len(request.reference_fields)
        yield f"{named} fields and {others} reference fields are named. Name one reference field for every field."
    if len(set(request.inputs)) < len(request.inputs):
        yield "an input is named twice. Name each file once."
    if several and request.references is not None:
        yield "references go with one input. Translate the files one by one."
    if several and request.output is not None:
        names = [path.name for path in request.inputs]
        if not os.path.isdir(request.output):
            yield f"{request.output} is not a folder, and there are several inputs. Name a folder that is there."
        elif len(set(names)) < len(names):
            yield f"two inputs have the same name, and would overwrite each other in {request.output}."
    if several and request.output is None and "tmx" in layouts.values():
        yield "several TMX files make no TMX file on stdout. Name a folder with -o."


def _reference_problems(request: Request, layouts: dict[Path, Layout]) -> Iterator[str]:
    """Of references whose suffix says that they are not laid out as the input: they would be compared all the same."""
    assert request.references is not None
    known = SUFFIXES if request.layout else {**SUFFIXES, ".txt": "text"}
    suffix = request.references.suffix.lower()
    for path, layout in layouts.items():
        read = _read_as(layout)
        if known.get(suffix, read) not in (read, layout_of(path)):
            yield (
                f"{request.references}: a file that ends in {suffix} holds {known[suffix]}, and the input "
                f"{_name(path)} is read as {read} (--references). Give references that are laid out as the input."
            )


def _read_as(layout: Layout) -> str:
    return "text" if layout == "lines" else layout


def _unreadable(path: Path) -> str | None:
    """Why there is nothing to read; None for a file, or a pipe that looks like one."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return "no file has so long a name. Name a file; a text itself is read from stdin"
        return f"cannot be read ({error.strerror})"
    return "is a folder. Name the files in it" if stat.S_ISDIR(mode) else None


def _name(path: Path) -> str:
    return "stdin" if path == STDIN else str(path)


@contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    if path == STDIN:
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 (closed below; what fails later is told by the reader)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    with file:
        yield file


@contextmanager
def _writing(target: Path | None, write: Callable[[bytes], None]) -> Iterator[Callable[[bytes], None]]:
    """A function that writes: the given one where there is no file. A file gets its name when all is written."""
    if target is None:
        yield write
        return
    in_place = target.exists() and not target.is_file()  # /dev/null must not be replaced
    partial = target if in_place else target.with_name(f"{target.name}.partial")
    with _sentences(partial):
        file = open(partial, "wb")  # noqa: SIM115 (closed below; what is raised in between is not about this file)
    try:
        yield lambda content: _write(file, content, partial)
        with _sentences(partial):
            file.flush()
            if not in_place:
                os.fsync(file.fileno())
                os.replace(partial, target)
    finally:
        file.close()


def _write(file: IO[bytes], content: bytes, path: Path) -> None:
    with _sentences(path):
        file.write(content)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot write ({error.strerror or error}). What was translated is kept: run again."
        ) from None


class _Printed:
    """Stdout, where one input follows the other, written to at once.

    When an input does not end in a line break, its last row would become one with the first of the next: there a
    line break comes between them. Plain texts follow each other as they are.
    """

    def __init__(self) -> None:
        self._last: Layout = "text"
        self._at_start = True  # of a line

    def part(self, layout: Layout) -> Callable[[bytes], None]:
        """A function that writes an input, and what stands between it and the one before."""
        apart, self._last = {layout, self._last} != {"text"}, layout

        def write(content: bytes) -> None:
            nonlocal apart
            if not content:
                return
            if apart and not self._at_start:
                sys.stdout.buffer.write(b"\n")
            apart, self._at_start = False, content.endswith(b"\n")
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()

        return write


def _references(request: Request, layout: Layout) -> Iterator[Piece] | None:
    """Pieces whose texts are references; those of a TMX file are in the target language."""
    if request.references is None:
        return None
    return _reference_pieces(request, request.references, layout)


def _reference_pieces(request: Request, path: Path, layout: Layout) -> Iterator[Piece]:
    """With texts that are called as those of the input."""
    back, fields = Pair(request.pair.target, request.pair.source), request.reference_fields or request.fields
    called = dict(zip(fields, request.fields, strict=True))
    with _reading(path) as file:
        for piece in read_pieces(file, _name(path), layout, back, fields):
            yield replace(piece, texts=tuple((called.get(name, name), text) for name, text in piece.texts))
