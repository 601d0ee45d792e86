"""Translation and judgement by language models behind OpenAI-compatible endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langxfer import hookimpl

if TYPE_CHECKING:
    from langxfer import Judge, Translator


@hookimpl
def register_translators() -> list[type[Translator]]:
    from langxfer_openai.translator import OpenAITranslator

    return [OpenAITranslator]


@hookimpl
def register_judges() -> list[type[Judge]]:
    from langxfer_openai.judge import OpenAIJudge

    return [OpenAIJudge]
