"""Exceptions that nobody raised on purpose, as sentences that say whose they are and where to look."""

from __future__ import annotations

import traceback

from langxfer.components import Component


def said(error: Exception) -> str:
    """Whose exception it is (where a component was at work), its type and message, and the place of its last frame."""
    frames = list(traceback.walk_tb(error.__traceback__))
    working = [own for frame, _ in frames if isinstance(own := frame.f_locals.get("self"), Component)]
    who = f'{working[-1].kind} "{working[-1].name}" raised ' if working else ""
    message = " ".join(str(error).split())
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if not frames:
        return f"{who}{what}."
    frame, line = frames[-1]
    return f"{who}{what} ({frame.f_code.co_filename}:{line})."
