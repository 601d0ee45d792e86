"""Until skeletons are there: lines as segments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Skeleton:
    segments: tuple[str, ...]
    gaps: tuple[str, ...]

    @classmethod
    def of_pieces(cls, pieces: Sequence[str], language: str) -> Skeleton:
        text, spans, start = "".join(pieces), [], 0
        for piece in pieces:
            end = start + len(piece)
            span = (start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip()))
            spans += [span] if any(map(str.isalpha, text[slice(*span)])) else []
            start = end
        edges = [0, *(edge for span in spans for edge in span), len(text)]
        gaps = tuple(text[edges[n] : edges[n + 1]] for n in range(0, len(edges), 2))
        return cls(tuple(text[slice(*span)] for span in spans), gaps)

    def rebuild(self, translations: Sequence[str], target: str) -> str:
        parts = [self.gaps[0]]
        for text, gap in zip(translations, self.gaps[1:], strict=True):
            parts += [text, gap]
        return "".join(parts)


def take_apart(text: str, language: str) -> Skeleton:
    return Skeleton.of_pieces(re.findall(r".+?(?:[.!?](?:\s+|$)|\n+|$)|\s+", text, re.DOTALL), language)


def split_further(segment: str, language: str) -> list[str]:
    cuts = [match.end() for match in re.finditer(r"[,;:](?=\s)|(?=\s)", segment)]
    cut = min(cuts, key=lambda place: abs(2 * place - len(segment)), default=0)
    return [segment[:cut], segment[cut:]] if 0 < cut < len(segment) else [segment]
