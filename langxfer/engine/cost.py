"""The rough cost of a plan: examples, tokens and optimizer steps. Exact once the data is encoded."""

from __future__ import annotations

from dataclasses import dataclass

from langxfer.engine import batches, sources
from langxfer.engine.plan import Plan
from langxfer.engine.store import Store

CHARACTERS_PER_TOKEN = 3.0  # between English (about 4) and languages a tokenizer knows badly (about 2)


@dataclass(frozen=True)
class Cost:
    """``tokens`` are those of prompts and responses of both sides, once; ``exact`` when counted, else estimated."""

    examples: int
    validation: int
    tokens: int
    steps: tuple[int, ...]
    segments: int
    exact: bool

    def sentence(self) -> str:
        about = "" if self.exact else "about "
        text = f"{self.examples} training and {self.validation} validation examples, {about}{self.tokens:,} tokens; "
        text += f"optimizer steps: {' + '.join(map(str, self.steps))}"
        return text + (f"; {self.segments} segments to translate" if self.segments else "")


def estimate(plan: Plan, store: Store) -> Cost:
    """Count what is encoded already, or read the data and estimate."""
    recipe = plan.recipe
    encoded = store.find("encode", plan.encode.key, verify=False)
    if encoded is not None:
        facts = encoded.manifest["facts"]
        examples, validation = facts["train"], facts["validation"]
        tokens = facts["train_tokens"] + facts["validation_tokens"]
    else:
        rows, _ = sources.read(recipe.data)
        train, held_out = sources.split(rows, recipe.data)
        languages = len(recipe.data.target_languages)
        examples, validation = len(train) * languages, len(held_out) * languages
        turns = [row.turns[recipe.data.source_language] for row in (*train, *held_out)]
        characters = sum(len(turn.prompt) + len(turn.response) for turn in turns)
        tokens = round(2 * languages * characters / CHARACTERS_PER_TOKEN)
    translated = recipe.translator is None or store.find("translate", plan.translate.key, verify=False) is not None
    return Cost(
        examples,
        validation,
        tokens,
        tuple(batches.steps_in_total(phase.phase.training, examples) for phase in plan.phases),
        0 if translated else 2 * (examples + validation),
        encoded is not None,
    )
