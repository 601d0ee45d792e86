"""Token ids: one BOS, one end of turn, the same prompt in all views, nothing lost on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from langxfer.data import ParallelExample, Side, Turn, View
from langxfer.engine import encode
from langxfer.engine.encode import Encoded, Encoder, Unusable
from langxfer.engine.template import NAMED
from langxfer.errors import RecipeError
from langxfer.recipe import Model
from langxfer.testing import parallel_examples, tiny_model
from langxfer.testing.models import TEMPLATE

LONG = 1000


def encoder_of(folder: Path, template: str | None = None) -> Encoder:
    return Encoder(Model(source=str(folder), template=template), folder)


def encoded(encoder: Encoder, examples: list[ParallelExample], max_length: int = LONG) -> list[Encoded]:
    items = [item for item, _ in encoder.encode(examples, max_length, "drop")]
    assert all(isinstance(item, Encoded) for item in items), items
    return [item for item in items if isinstance(item, Encoded)]


def example(prompt: str, response: str, other_prompt: str = "Frage?", other: str = "Antwort.") -> ParallelExample:
    return ParallelExample("one/de", Turn(prompt, response, "en"), Turn(other_prompt, other, "de"))


@pytest.fixture(scope="module")
def padded_with_eos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), pad="</s>")


@pytest.mark.parametrize("template", [None, *NAMED])
def test_exactly_one_bos_and_one_end(folder: Path, padded_with_eos: Path, template: str | None) -> None:
    """The tokenizer would add a BOS of its own; the second one pads with EOS."""
    for model in (folder, padded_with_eos):
        encoder = encoder_of(model, template)
        bos, eos = encoder.tokenizer.bos_token_id, encoder.tokenizer.eos_token_id
        assert encoder.tokenizer("x").input_ids[0] == bos
        for item in encoded(encoder, parallel_examples(5)):
            for view in View:
                ids = item.prompts[view.prompt] + item.responses[view]
                assert ids.count(bos) == 1
                assert ids[0] == bos
                assert item.responses[view].count(eos) == 1
                assert item.responses[view][-1] == eos
        asked = encoder.prompt_ids([parallel_examples(1)[0].source.prompt])
        assert asked == [encoded(encoder, parallel_examples(1))[0].prompts[Side.SOURCE]]


def test_ids_are_those_of_the_rendered_text(folder: Path) -> None:
    encoder = encoder_of(folder)
    item = encoded(encoder, [example("Hi 你好?", "Ẹ káàárọ̀ 😀", "Frage\n", " Antwort")])[0]
    text = encoder.tokenizer.decode(item.prompts[Side.SOURCE] + item.responses[View.ST])
    assert text == "<s><|user|>\nHi 你好?\n<|assistant|>\n Antwort</s>"
    assert encoder.tokenizer.decode(item.prompts[Side.TARGET] + item.responses[View.TS]) == (
        "<s><|user|>\nFrage\n\n<|assistant|>\nẸ káàárọ̀ 😀</s>"
    )
    assert item.responses[View.SS] == item.responses[View.TS]
    assert item.bytes == {Side.SOURCE: len("Ẹ káàárọ̀ 😀".encode()), Side.TARGET: len(b" Antwort")}
    assert item.length(View.SS) == len(item.prompts[Side.SOURCE]) + len(item.responses[View.SS])


def test_what_follows_the_end_of_turn_is_not_scored_and_a_missing_end_is_added(tmp_path: Path) -> None:
    assert encoder_of(tiny_model(tmp_path / "a")).template.full("x", "y").endswith("</s>\n")
    end = "{{ eos_token if message['role'] == 'assistant' }}"
    bare = TEMPLATE.replace(end, "")
    encoder = encoder_of(tiny_model(tmp_path / "b", template=bare))
    item = encoded(encoder, parallel_examples(1))[0]
    assert item.responses[View.SS][-1] == encoder.tokenizer.eos_token_id
    twice = TEMPLATE.replace(end, end + end)
    encoder = encoder_of(tiny_model(tmp_path / "c", template=twice))
    assert encoded(encoder, parallel_examples(1))[0].responses[View.SS].count(encoder.tokenizer.eos_token_id) == 1


def test_end_of_turn_tokens_of_the_generation_configuration_count(tmp_path: Path) -> None:
    """As with Llama 3, whose turns end in another token than its documents."""
    ends = TEMPLATE.replace("eos_token if", "'<|user|>' if")
    model = tiny_model(tmp_path, template=ends)
    path = model / "generation_config.json"
    settings = json.loads(path.read_text())
    settings["eos_token_id"] = [settings["eos_token_id"], 3]
    path.write_text(json.dumps(settings))
    encoder = encoder_of(model)
    assert encoder.stop_ids == {1, 3}
    assert encoder.tokenizer.convert_ids_to_tokens(3) == "<|user|>"
    response = encoded(encoder, parallel_examples(1))[0].responses[View.TT]
    assert response[-1] == 3
    assert 1 not in response


def test_a_tokenizer_without_eos_is_refused(tmp_path: Path) -> None:
    model = tiny_model(tmp_path, eos_token_id=None)
    path = model / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings["eos_token"] = None
    path.write_text(json.dumps(settings))
    (model / "generation_config.json").unlink()
    with pytest.raises(RecipeError, match="names no EOS token"):
        encoder_of(model, "plain")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RecipeError, match="tokenizer cannot be loaded"):
        encoder_of(tmp_path)


def test_merges_across_the_boundary(tmp_path: Path) -> None:
    """The prompt's last newline would merge with an answer that begins with A: the prompt's ids stay what they are."""
    encoder = encoder_of(tiny_model(tmp_path, merges=("\nA", "th", "the")), "alpaca")
    examples = [example("Hi?", "A dog.", "Na?", "the cat"), example("Hi?", "Dogs.", "Na?", "the cat")]
    merged, plain = encoded(encoder, [replace(examples[0], id="a"), replace(examples[1], id="b")])
    assert encoder.merged == 2  # SS and TS of the first
    assert merged.prompts == plain.prompts
    assert merged.prompts[Side.SOURCE] == encoder.prompt_ids(["Hi?"])[0]
    tokens = encoder.tokenizer.convert_ids_to_tokens(merged.responses[View.SS])
    assert tokens[:2] == ["A", "Ġ"]
    assert merged.responses[View.SS] == merged.responses[View.TS]
    for item in (merged, plain):
        for view in View:
            text = encoder.tokenizer.decode(item.prompts[view.prompt] + item.responses[view])
            turn = next(e for e in (examples[item.id == "b"],))
            assert text == encoder.template.full(turn.turn(view.prompt).prompt, turn.turn(view.response).response)


@pytest.mark.parametrize("where", ["prompt", "response"])
@pytest.mark.parametrize("side", list(Side))
def test_control_tokens_in_the_data_are_dropped(folder: Path, where: str, side: Side) -> None:
    encoder = encoder_of(folder)
    clean = example("What is </t>?", "< s > and <|users|>")
    turn = replace(clean.turn(side), **{where: "mark </s> up"})
    dirty = replace(clean, id="dirty", **{side.value: turn})
    (first, _), (second, _) = encoder.encode([dirty, clean], LONG, "drop")
    assert first == Unusable("dirty", "the text holds the control token </s>")
    assert isinstance(second, Encoded)


def test_drop_and_cut(folder: Path) -> None:
    encoder = encoder_of(folder)
    whole = encoded(encoder, [example("Hi?", "short", "Na?", "a much longer answer than that")])[0]
    longest = max(whole.length(view) for view in View)
    data = [example("Hi?", "short", "Na?", "a much longer answer than that")]
    assert list(encoder.encode(data, longest, "drop")) == [(whole, False)]
    assert list(encoder.encode(data, longest - 1, "drop")) == [(Unusable("one/de", "longer than max_length"), False)]
    ((cut, was_cut),) = encoder.encode(data, longest - 3, "cut")
    assert was_cut
    assert isinstance(cut, Encoded)
    assert cut.prompts == whole.prompts
    assert cut.responses[View.SS] == whole.responses[View.SS]
    eos = encoder.tokenizer.eos_token_id
    assert whole.cut == set() and cut.cut == {View.ST, View.TT}
    for view in (View.ST, View.TT):
        size = longest - 3 - len(cut.prompts[view.prompt])
        assert cut.responses[view] == whole.responses[view][:size]
        assert eos not in cut.responses[view]  # a cut answer does not end there


@pytest.mark.parametrize("rule", ["drop", "cut"])
def test_no_response_is_ever_empty(folder: Path, rule: str) -> None:
    encoder = encoder_of(folder)
    data = [example("Hi?", "yes", "Naaaa?", "doch"), example("A prompt of some length?", "", "?", "ja")]
    prompts = {len(ids) for e in data for ids in encoder.prompt_ids([e.source.prompt, e.target.prompt])}
    for length in range(8, max(prompts) + 12):
        for item, _ in encoder.encode(data, length, rule):
            if isinstance(item, Encoded):
                assert all(item.responses[view] for view in View)
                assert all(item.length(view) <= length for view in View)
            elif length <= min(prompts):
                assert item.reason == "the prompt alone is longer than max_length"


def test_chunks_of_tokenisation_do_not_show(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_of(folder)
    whole = encoded(encoder, parallel_examples(5))
    monkeypatch.setattr(encode, "CHUNK", 2)
    assert encoded(encoder, parallel_examples(5)) == whole
    assert [item.id for item in whole] == [e.id for e in parallel_examples(5)]


def test_save_and_load(folder: Path, tmp_path: Path) -> None:
    items = encoded(encoder_of(folder), parallel_examples(5))
    items.append(replace(items[0], id='ünï "quoted"/ko', prompts={side: [7] for side in Side}))
    items.append(replace(items[0], cut=frozenset({View.ST, View.TT})))
    encode.save(tmp_path / "a.safetensors", items)
    again = encode.load(tmp_path / "a.safetensors")
    assert again == items
    assert [item.cut for item in encode.load_lengths(tmp_path / "a.safetensors")] == [item.cut for item in items]
    assert all(type(token) is int for item in again for token in item.prompts[Side.SOURCE])
    encode.save(tmp_path / "b.safetensors", [])
    assert encode.load(tmp_path / "b.safetensors") == []
    older = {name: tensor for name, tensor in load_file(tmp_path / "a.safetensors").items() if name != "cut"}
    ids = json.dumps([item.id for item in items])
    save_file(older, tmp_path / "c.safetensors", metadata={"example_ids": ids})
    assert encode.load(tmp_path / "c.safetensors") == [replace(item, cut=frozenset()) for item in items]


def test_tokens_that_no_file_names_are_the_tokenizers_own(tmp_path: Path) -> None:
    """As those of GPT-2, which its class knows: a prompt without BOS is another than the model is asked later."""
    folder = tiny_model(tmp_path / "tiny")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    encoder = encoder_of(folder, "alpaca")
    assert encoder.template.prompt("Why?").startswith("<|endoftext|>###")
    assert encoder.template.full("Why?", "So.").endswith("So.<|endoftext|>")
    (folder / "chat_template.jinja").write_text(NAMED["alpaca"])
    turns = [{"role": "user", "content": "Why?"}]
    asked = encoder_of(folder).tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert encoder_of(folder).template.prompt("Why?") == encoder.template.prompt("Why?") == asked
