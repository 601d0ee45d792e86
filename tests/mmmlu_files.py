"""Small files in MMMLU's layouts, for tests."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langxfer.builtin.evaluators.mmmlu import Mmmlu

SUBJECTS = ("anatomy", "formal_logic")
KEY = "ABCD"


def row(number: int, tag: str) -> dict[str, str]:
    """Row of a file with four questions a subject, whose right answers are A, B, C, D."""
    options = {letter: f"{tag} {number} {letter.lower()}" for letter in KEY}
    subject = SUBJECTS[number // 4]
    return {
        "": str(number),
        "Question": f"{tag} {number}, or? ",
        **options,
        "Answer": KEY[number % 4],
        "Subject": subject,
    }


def write_csv(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def write_languages(folder: Path) -> str:
    """Swahili and Korean under MMMLU's names, English as it was published: a file a subject, without letters."""
    for name, tag in (("SW_KE.csv", "sw"), ("mmlu_KO-KR.csv", "ko"), ("FR_FR.csv", "fr")):
        write_csv(folder / name, [row(i, tag) for i in range(8)])
    (folder / "test").mkdir()
    for number, subject in enumerate(SUBJECTS):
        rows = [row(i, "en") for i in range(4 * number, 4 * number + 4)]
        changed = [
            {"question": r["Question"], **{f"choice{i}": r[x] for i, x in enumerate(KEY)}, "answer": str(i)}
            for i, r in enumerate(rows)
        ]
        write_csv(folder / "test" / f"{subject}_test.csv", changed)
    return str(folder)


def mmmlu(folder: str, *tags: str, **options: Any) -> Mmmlu:
    return Mmmlu(source=folder, english_source=folder, languages=tags, **options)
