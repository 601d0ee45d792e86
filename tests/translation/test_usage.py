"""What translators say that they have used."""

from __future__ import annotations

from types import SimpleNamespace

from langxfer.translation.usage import listed, used


def test_what_there_is_to_say() -> None:
    assert used(SimpleNamespace()) == {}
    assert used(SimpleNamespace(usage=lambda: {})) == used(SimpleNamespace(usage=lambda: {"requests": 0})) == {}
    assert used(SimpleNamespace(usage=lambda: {"requests": 2, "retries": 0})) == {"requests": 2, "retries": 0}


def test_as_a_sentence() -> None:
    usage = {"requests": 3, "input_tokens": 1204567, "cost": 0.00123456789, "hours": 1.0}
    assert listed(usage) == "requests 3, input_tokens 1,204,567, cost 0.00123457, hours 1"
