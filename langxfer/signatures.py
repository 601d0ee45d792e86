"""Strings that make a score reproducible: written with it, and read again to tell what two scores differ in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version


def signature(parts: Mapping[str, object]) -> str:
    """``name:value|name:value|…|langxfer:VERSION``, in the way of sacreBLEU (Post 2018, arXiv 1804.08771)."""
    return "|".join(f"{name}:{value}" for name, value in {**parts, "langxfer": _langxfer_version()}.items())


def signature_parts(text: str) -> dict[str, str]:
    """The parts of a signature, by name."""
    return dict(part.split(":", 1) if ":" in part else (part, "") for part in text.split("|") if part)


def digest(items: Iterable[Sequence[str]]) -> str:
    """Eight hexadecimal digits that stand for the texts of all items, in their order."""
    values = json.dumps([list(item) for item in items], ensure_ascii=False)
    return hashlib.sha256(values.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _langxfer_version() -> str:
    try:
        return version("langxfer")
    except PackageNotFoundError:
        return "source"
