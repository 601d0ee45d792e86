"""The built-in evaluators, and what they share: signatures, digests, standard errors."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version


def signature(parts: Mapping[str, object]) -> str:
    """``name:value|name:value|…|langxfer:VERSION``, in the way of sacreBLEU (Post 2018, arXiv 1804.08771)."""
    return "|".join(f"{name}:{value}" for name, value in {**parts, "langxfer": _langxfer_version()}.items())


def digest(items: Iterable[Sequence[str]]) -> str:
    """Eight hexadecimal digits that stand for the texts of all items, in their order."""
    values = json.dumps([list(item) for item in items], ensure_ascii=False)
    return hashlib.sha256(values.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def percentage(count: int, n: int) -> tuple[float, float]:
    """``count`` of ``n`` in percent, and its standard error ``100 * sqrt(p (1 - p) / n)``.

    It is the normal approximation for independent items, so it is 0 at 0 % and 100 %. ``n`` is at least 1.
    """
    share = count / n
    return 100 * share, 100 * math.sqrt(share * (1 - share) / n)


def mean(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean of at least one value, and its standard error ``s / sqrt(n)``; None for a single value."""
    n = len(values)
    average = math.fsum(values) / n
    if n == 1:
        return average, None
    return average, math.sqrt(math.fsum((value - average) ** 2 for value in values) / (n - 1) / n)


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float | None, float | None]:
    """``R = sum(numerators) / sum(denominators)`` over items, and its standard error by the delta method.

    ``sqrt(n / (n - 1) * sum((y - R x)^2)) / sum(x)`` (Cochran, Sampling Techniques, 3rd edition 1977,
    chapter 6, for an infinite population): items are the unit of sampling. None for a ratio without denominator,
    and for the error of a single item.
    """
    n, total = len(numerators), math.fsum(denominators)
    if not total:
        return None, None
    value = math.fsum(numerators) / total
    if n == 1:
        return value, None
    squares = math.fsum((y - value * x) ** 2 for y, x in zip(numerators, denominators, strict=True))
    return value, math.sqrt(n / (n - 1) * squares) / total


def _langxfer_version() -> str:
    try:
        return version("langxfer")
    except PackageNotFoundError:
        return "source"
