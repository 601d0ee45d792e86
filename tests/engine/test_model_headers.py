"""Model files that are broken, cut short or were not fetched are refused by name, before anything is computed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from langxfer.engine import models
from langxfer.engine.model_headers import model_config, tensor_shapes
from langxfer.errors import RecipeError
from langxfer.recipe import Model

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 269060552\n"
NONE = r"model\.source .*model\.safetensors: not a safetensors file \({}\)\. Fetch it with git lfs pull, or download"


def stored(header: object, data: bytes = b"") -> bytes:
    """A safetensors file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


BROKEN = {
    "a pointer of Git LFS": (POINTER, r"134 bytes; it begins with 'version https://git-lfs\.github\.com.*'"),
    "one line": (b"x\n", r"2 bytes; it begins with 'x\\n'"),
    "empty": (b"", "it is empty"),
    "a header that is no JSON": (stored(b"x" * 8), "16 bytes; .*"),
    "a header that is no text": (stored(b"\xff\xfe\xfd"), "11 bytes; .*"),
    "a header that is a list": (stored([1]), "11 bytes; .*"),
    "a tensor without shape": (stored({"a": {}}), "17 bytes; .*"),
    "a tensor that is a number": (stored({"a": 1}), "16 bytes; .*"),
    "a tensor of another shape": (stored({"a": {"shape": ["b"], "data_offsets": [0, 0]}}), ".* bytes; .*"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_holds_something_else_is_refused(name: str, tmp_path: Path) -> None:
    content, said = BROKEN[name]
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(RecipeError, match=NONE.format(said)):
        tensor_shapes(tmp_path / "model.safetensors")


def test_a_download_that_broke_off_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(stored({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"0" * 15))
    with pytest.raises(RecipeError, match=r"the file is cut short \(\d+ bytes of \d+\)\. Download it"):
        tensor_shapes(path)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", POINTER, b""])
def test_a_configuration_that_is_no_object_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(RecipeError, match=r"model\.source .*config\.json: not a JSON object"):
        model_config(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_folder_with_such_a_file_is_no_model(name: str, tiny: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny, tmp_path / "copy"))
    (copy / name).write_bytes(POINTER)
    with pytest.raises(RecipeError, match=rf"{name}: not a "):
        models.identify(Model(source=str(copy)))
