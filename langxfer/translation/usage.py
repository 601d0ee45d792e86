"""What a translator has used: requests, tokens, money; told when its work is done."""

from __future__ import annotations

from langxfer.components import OpenTranslator


def used(translator: OpenTranslator) -> dict[str, float]:
    """What it says that it has used so far, by name; empty where it says nothing, or has done nothing."""
    usage = dict(translator.usage()) if hasattr(translator, "usage") else {}
    return usage if any(usage.values()) else {}


def listed(usage: dict[str, float]) -> str:
    """Numbers by name as the end of a sentence: ``requests 3, input_tokens 1,204, cost 0.00123``."""
    return ", ".join(
        f"{name} {number:,.0f}" if number % 1 == 0 else f"{name} {number:,.6g}" for name, number in usage.items()
    )
