"""The server that stands in for an endpoint, and a key for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]  # the plugin need not be installed


@pytest.fixture
def stub() -> Iterator[object]:
    """The server."""
    from openai_stub import Stub

    server = Stub()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    from openai_stub import KEY

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
