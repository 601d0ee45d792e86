"""Tokens of many texts at once, against the tokenizer's own way of one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langxfer.translation.tokens import Tokens
from tests.tiny_m2m100 import SENTENCES, build

# Lone surrogates and NUL aside: sentencepiece reads C strings.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("tiny") / "model", seed=0)


@pytest.fixture(scope="module")
def tokens(folder) -> Tokens:
    return Tokens(folder)


@pytest.fixture(scope="module")
def tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(TEXTS, st.sampled_from([*SENTENCES, "</s> __de__ <unk>"])), max_size=5))
def test_rows_are_those_of_one_at_a_time(tokens, tokenizer, texts):
    alone = [["__en__", *tokenizer.tokenize(text, split_special_tokens=True), "</s>"] for text in texts]
    assert tokens.rows(texts, "__en__") == alone


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_texts_are_those_of_one_at_a_time(tokens, tokenizer, data):
    """With special tokens and unused rows of the model in between, which stand for no text."""
    some = st.sampled_from([*tokenizer.get_vocab(), "madeupword0"])
    hypotheses = data.draw(st.lists(st.lists(some, min_size=1, max_size=12), max_size=4))
    ids = [[tokenizer.convert_tokens_to_ids(token) for token in own[1:]] for own in hypotheses]
    assert tokens.texts(hypotheses) == [tokenizer.decode(own, skip_special_tokens=True).strip() for own in ids]


def test_a_lone_surrogate_has_no_row(tokens):
    first, broken, last = tokens.rows(["cat", "cat \ud83d", "sat"], "__en__")
    assert broken is None and first != last and None not in (first, last)
