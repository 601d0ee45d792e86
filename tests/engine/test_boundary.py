"""Where contexts end and options begin, for tokenizers of several kinds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from langxfer.components import Question
from langxfer.engine.boundary import Boundary
from langxfer.engine.encode import Encoder
from langxfer.errors import DataError
from langxfer.recipe import Model
from langxfer.testing import tiny_model

Split = Callable[..., tuple[list[str], list[list[str]]]]


def encoder_of(folder: Path, template: str | None = None) -> Encoder:
    return Encoder(Model(source=str(folder), template=template), folder)


def splitter(encoder: Encoder) -> Split:
    """(tokens of the context, tokens of every option), as texts."""

    def split(context: str, *options: str, chat: bool = False) -> tuple[list[str], list[list[str]]]:
        ((own, found),) = Boundary(encoder).encode([Question("q", context, options, chat)])
        named = encoder.tokenizer.convert_ids_to_tokens
        return named(list(own)), [named(list(ids)) for ids in found]

    return split


@pytest.fixture(scope="module")
def merging(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Merges a colon with the letter A after it, and with the first byte of many Korean syllables."""
    folder = tiny_model(tmp_path_factory.mktemp("merging"), merges=(":A", "is"))
    path = folder / "tokenizer.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["model"]["vocab"][":ê"] = max(stored["model"]["vocab"].values()) + 1
    stored["model"]["merges"].append([":", "ê"])
    path.write_text(json.dumps(stored), encoding="utf-8")
    return splitter(encoder_of(folder))


def test_a_merge_across_the_boundary_is_scored_in_all_options(merging: Split) -> None:
    context, options = merging("This is:", "A", "B")
    assert context == ["<s>", "T", "h", "is", "Ġ", "is"]
    assert options == [[":A"], [":", "B"]]
    assert merging("This is:", "B", "C") == ([*context, ":"], [["B"], ["C"]])  # no merge: nothing but the options


def test_a_merge_within_a_korean_syllable(merging: Split) -> None:
    """Three bytes of 가 are ê ° Ģ, and those of 나 begin with ë."""
    context, options = merging("is:", "가)", "나)")
    assert context == ["<s>", "is"]
    assert options[0][0] == ":ê" and options[0][-1] == options[1][-1] == ")"
    assert options[1][0] == ":" and len(options[1]) == 5


def test_a_merge_at_the_very_beginning(tmp_path: Path) -> None:
    """A tokenizer that adds no BOS, and a context that is no token of its own: the option comes after BOS alone."""
    folder = tiny_model(tmp_path, merges=(":A",))
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "post_processor": None}), encoding="utf-8")
    split = splitter(encoder_of(folder))
    assert split(":", "A", "B") == (["<s>"], [[":A"], [":", "B"]])
    assert split("x", "A") == (["x"], [["A"]])
    assert split("", "A") == (["<s>"], [["A"]])


def test_without_bos_eos_comes_first(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    for name in ("tokenizer_config.json", "tokenizer.json"):
        stored = json.loads((folder / name).read_text("utf-8"))
        stored.pop("bos_token", None)
        if "post_processor" in stored:
            stored["post_processor"] = None
        (folder / name).write_text(json.dumps(stored), encoding="utf-8")
    encoder = encoder_of(folder)
    assert encoder.tokenizer.bos_token is None
    assert splitter(encoder)("", "A", "BC") == (["</s>"], [["A"], ["B", "C"]])
    assert Boundary(encoder).start == encoder.tokenizer.eos_token_id


def test_spaces_move_into_the_option(merging: Split) -> None:
    assert merging("on \n", "A", " B") == (["<s>", "o", "n"], [["Ġ", "Ċ", "A"], ["Ġ", "Ċ", "Ġ", "B"]])
    assert merging("  ", "A")[1] == [["Ġ", "Ġ", "A"]]


def test_one_bos_and_no_more(merging: Split) -> None:
    assert merging("on", "A")[0] == merging("<s>on", "A")[0] == ["<s>", "o", "n"]
    assert merging("", "AB") == merging("", "<s>AB") == merging("<s>", "AB") == (["<s>"], [["A", "B"]])


def test_a_turn_is_the_template_s(tmp_path: Path) -> None:
    """The template writes BOS where it wants one; the space at its end stays where answers are generated after it."""
    folder = tiny_model(tmp_path, merges=("\nA",))
    for template in ("chatml", "plain", None):
        encoder = encoder_of(folder, template)
        context, options = splitter(encoder)("on", "A", "B", chat=True)
        prompt = encoder.prompt_ids(["on"])[0]
        assert context == encoder.tokenizer.convert_ids_to_tokens(prompt)
        assert context.count("<s>") == encoder.template.prompt("on").count("<s>")
        assert options == [["A"], ["B"]]


def test_a_tokenizer_that_ends_texts(tmp_path: Path) -> None:
    """Some add EOS after a text, which no context may end in."""
    from tokenizers import processors

    folder = tiny_model(tmp_path)
    encoder = encoder_of(folder)
    inner = encoder.tokenizer.backend_tokenizer
    inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    tokenizer = encoder.tokenizer
    names = tokenizer.convert_ids_to_tokens(tokenizer("a")["input_ids"])
    assert len(names) == 3
    assert splitter(encoder)("on", "A") == ([names[0], "o", "n"], [["A"]])


def test_words_that_begin_with_a_space(tmp_path: Path) -> None:
    """As SentencePiece has them: ▁A is another token than A, and a text begins with ▁."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "<s>", "</s>", "▁", *"ABCanswer:", "▁A", "▁answer"]
    names = list(dict.fromkeys(pieces))
    inner = Tokenizer(models.Unigram([(name, -float(len(names) - len(name))) for name in names], unk_id=0))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    inner.decoder = decoders.Metaspace()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.save_pretrained(tmp_path)
    split = splitter(encoder_of(tmp_path, "plain"))
    assert split("answer:", " A", " B") == (["<s>", "▁answer", ":"], [["▁A"], ["▁", "B"]])
    assert split("answer:", "A", "B") == (["<s>", "▁answer", ":"], [["A"], ["B"]])
    assert split("answer: ", "A") == split("answer:", " A")


def test_an_option_without_tokens_is_refused(tmp_path: Path) -> None:
    encoder = encoder_of(tiny_model(tmp_path))
    from tokenizers import normalizers

    encoder.tokenizer.backend_tokenizer.normalizer = normalizers.Replace("~", "")
    with pytest.raises(DataError, match=r"question q: the tokenizer makes no token of the option '~'"):
        splitter(encoder)("on", "A", "~")


def test_questions_of_both_kinds_keep_their_order(tmp_path: Path) -> None:
    encoder = encoder_of(tiny_model(tmp_path))
    questions = [Question(str(n), f"text {n}", ("A", f" {n}"), chat=n % 3 == 0) for n in range(600)]
    found = list(Boundary(encoder).encode(questions))
    assert len(found) == 600
    for question, own in zip(questions, found, strict=True):
        assert [own] == list(Boundary(encoder).encode([question]))
