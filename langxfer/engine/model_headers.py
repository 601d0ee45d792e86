"""Reads what files of a model say of themselves: safetensors, GGUF, ``config.json``. Broken ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from langxfer.errors import RecipeError

SHOWN = 40  # bytes of a broken file that a message shows
LENGTH = 8  # bytes that hold the size of the header
GGUF = b"GGUF"  # with which such a file begins
FETCH = "Fetch it with git lfs pull, or download it again."


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a safetensors file, from its header alone.

    Raises:
        RecipeError: it is none, a Git LFS pointer for instance, or it is cut short.
    """
    try:
        header, expected = _header(path)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        shapes = {name: tuple(int(size) for size in entry["shape"]) for name, entry in tensors.items()}
        expected += max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
    except OSError as error:
        raise RecipeError(f"model.source {path}: cannot be read ({error.strerror or error}).") from None
    # Its fields have other types than they should, or are not there. An error of UTF-8 or JSON is a ValueError.
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise RecipeError(f"model.source {path}: not a safetensors file ({_beginning(path)}). {FETCH}") from None
    found = path.stat().st_size
    if found < expected:
        raise RecipeError(
            f"model.source {path}: the file is cut short ({found:,} bytes of {expected:,}). Download it again."
        )
    return shapes


def check_gguf(path: Path) -> None:
    """See that a file begins as GGUF files do.

    Raises:
        RecipeError: it does not, or it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            magic = file.read(len(GGUF))
    except OSError as error:
        raise RecipeError(f"model.source {path}: cannot be read ({error.strerror or error}).") from None
    if magic != GGUF:
        raise RecipeError(f"model.source {path}: not a GGUF file ({_beginning(path)}). {FETCH}")


def model_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a model folder.

    Raises:
        RecipeError: it is missing, or no JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(config, dict):
            return config
    except OSError as error:
        raise RecipeError(f"model.source {path}: cannot be read ({error.strerror or error}).") from None
    except (ValueError, RecursionError):
        pass  # said below
    raise RecipeError(f"model.source {path}: not a JSON object ({_beginning(path)}). {FETCH}")


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and the bytes up to its end. Its size is checked first: in any other file it is some huge number."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(LENGTH), "little")
        if not 0 < size <= path.stat().st_size - LENGTH:
            raise ValueError("the header does not fit into the file")
        return json.loads(file.read(size).decode("utf-8")), LENGTH + size


def _beginning(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(SHOWN)
    shown = start.decode("utf-8", "replace").rstrip("\ufffd")
    return f"{path.stat().st_size:,} bytes; it begins with {shown!r}" if start else "it is empty"
