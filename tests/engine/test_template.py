"""Our rendering against transformers' own, and templates that cannot be used."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer
from transformers.utils import chat_template_utils

from langxfer.engine.template import NAMED, TODAY, Template, load_template
from langxfer.errors import RecipeError
from langxfer.recipe import Model
from langxfer.testing import tiny_model

GENERATION = (
    "{%- for message in messages -%}\n    {%- if message['role'] == 'assistant' -%}\n"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}\n    {%- else -%}\n"
    "[{{ message.role }}] {{ message['content'] | trim }}\n{{ '\\n' }}    {%- endif -%}\n{%- endfor -%}"
)
STRICT = (
    "{{- bos_token }}\n{%- if messages[0]['role'] == 'system' %}{{ raise_exception('no system prompts') }}{% endif %}\n"
    "{%- for message in messages %}\n"
    "    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles') }}{% endif %}\n"
    "    {%- if message['role'] == 'user' %}{{- '[INST] ' + message['content'] + ' [/INST]' }}\n"
    "    {%- else %}{{- ' ' + message['content'] + eos_token }}{% endif %}\n{%- endfor %}"
)
DATED = (
    "{{- bos_token }}{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    "{%- set date_string = strftime_now('%d %b %Y') %}{%- else %}{%- set date_string = '26 Jul 2024' %}{%- endif %}"
    "{%- endif %}Today Date: {{ date_string }}\n{% for message in messages %}<|{{ message['role'] }}|>"
    "{{ message['content'] }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
BARE_DATE = (
    "On {{ strftime_now('%Y-%m-%d') }}: {% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TOOLS = (
    "{% if tools is not none %}Tools: {{ tools | tojson(indent=2) }}\n{% endif %}"
    "{% if documents is none %}No documents.\n{% endif %}"
    "{% for message in messages %}{% if loop.index > 9 %}{% break %}{% endif %}"
    "{{ {'é': message['content']} | tojson }}{{ message | tojson(sort_keys=true, separators=(',', ':')) }}{% endfor %}"
)
SPACES = """
{% for message in messages %}
    {% if message['role'] == 'user' %}
Q: {{ message['content'] }}
    {% else %}
A: {{ message['content'] }}
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
A: {% endif %}

"""
NAMESPACE = (
    "{% set ns = namespace(turns=0) %}{% for message in messages %}{% set ns.turns = ns.turns + 1 %}"
    "<{{ ns.turns }} {{ message['role'].upper() }}>{{ message['content'].split('</think>')[-1].lstrip('\\n') }}"
    "{% endfor %}{% if add_generation_prompt %}<{{ ns.turns + 1 }} ASSISTANT>{% endif %}"
)
TEMPLATES = {
    "generation": GENERATION,
    "strict": STRICT,
    "tools": TOOLS,
    "spaces": SPACES,
    "namespace": NAMESPACE,
    **{f"named {name}": source for name, source in NAMED.items()},
}
TURNS = [
    ("How are you?", "Well, thank you."),
    ("  Čo je <b>to</b>?\n\n", 'नमस्ते & 你好 \\n "q" {{ x }}'),
    ("x", "a</think>\n\nb"),
]


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


def ours(source: str) -> Template:
    return Template("tokenizer", source, "<s>", "</s>")


def theirs(tokenizer: Any, source: str, prompt: str, response: str | None, **options: Any) -> str:
    messages = [{"role": "user", "content": prompt}]
    if response is not None:
        messages.append({"role": "assistant", "content": response})
    return tokenizer.apply_chat_template(
        messages, chat_template=source, tokenize=False, add_generation_prompt=response is None, **options
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_rendering_equals_transformers(tokenizer: Any, name: str) -> None:
    template = ours(TEMPLATES[name])
    for prompt, response in TURNS:
        assert template.prompt(prompt) == theirs(tokenizer, template.source, prompt, None)
        assert template.full(prompt, response) == theirs(tokenizer, template.source, prompt, response)


def test_a_template_with_a_default_date_takes_it(tokenizer: Any) -> None:
    expected = theirs(tokenizer, DATED, "x", None, date_string="26 Jul 2024")
    assert ours(DATED).prompt("x") == expected
    assert "26 Jul 2024" in expected
    assert theirs(tokenizer, DATED, "x", None) != expected  # transformers takes today's


def test_a_template_without_a_default_date_gets_a_fixed_one(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls(TODAY.year, TODAY.month, TODAY.day)

    monkeypatch.setattr(chat_template_utils, "datetime", Then)
    template = ours(BARE_DATE)
    template.try_out()
    assert template.full("x", "y") == theirs(tokenizer, BARE_DATE, "x", "y")
    assert "2024-07-26" in template.prompt("x")


@pytest.mark.parametrize("name", ["generation", "strict", *(f"named {name}" for name in NAMED)])
def test_usable_templates_pass(name: str) -> None:
    ours(TEMPLATES[name]).try_out()


def test_named_templates() -> None:
    assert ours(NAMED["alpaca"]).full("Hi?", "Yes.") == "<s>### Instruction:\nHi?\n\n### Response:\nYes.</s>"
    assert ours(NAMED["plain"]).full("Hi?", "Yes.") == "<s>Hi?\n\nYes.</s>"
    turns = "<s><|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\n"
    assert ours(NAMED["chatml"]).prompt("Hi?") == turns
    assert ours(NAMED["chatml"]).full("Hi?", "Yes.") == turns + "Yes.</s>\n"


def test_a_prompt_that_is_not_a_prefix_is_refused() -> None:
    thinks = "{% for m in messages %}[{{ m.content }}]{% endfor %}{% if add_generation_prompt %}<think>{% endif %}"
    with pytest.raises(
        RecipeError, match=r"not keep the prompt as the beginning[\s\S]*<think>[\s\S]*alpaca, chatml, plain"
    ):
        ours(thinks).try_out()
    last = "{% for m in messages %}{{ 'last:' if loop.last else '' }}{{ m.content }};{% endfor %}"
    with pytest.raises(RecipeError, match="does not keep the prompt"):
        ours(last).try_out()


def test_a_template_that_loses_the_answer_is_refused() -> None:
    with pytest.raises(RecipeError, match="loses the answer"):
        ours("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}").try_out()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for m in messages %}", "TemplateSyntaxError"),
        ("{{ raise_exception('needs a system prompt') }}", "needs a system prompt"),
        ("{{ messages[5].content }}", "UndefinedError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
    ],
)
def test_broken_templates_are_refused_in_words(source: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        ours(source).try_out()


def test_load_template(folder: Path, tmp_path: Path) -> None:
    own = load_template(Model(source=str(folder)), folder)
    assert (own.name, own.bos, own.eos) == ("tokenizer", "<s>", "</s>")
    assert own.source == (folder / "chat_template.jinja").read_text()
    named = load_template(Model(source=str(folder), template="alpaca"), folder)
    assert (named.name, named.source, named.eos) == ("alpaca", NAMED["alpaca"], "</s>")
    with pytest.raises(RecipeError, match=r"there is no 'alpacka'.*alpaca, chatml, plain"):
        load_template(Model(source=str(folder), template="alpacka"), folder)
    base = tiny_model(tmp_path / "base", template=None)
    with pytest.raises(RecipeError, match="no chat template"):
        load_template(Model(source=str(base)), base)


def test_older_tokenizer_files(tmp_path: Path) -> None:
    """The template in tokenizer_config.json, alone or among several; tokens as objects."""
    eos = {"content": "</s>", "special": True}
    config: dict[str, Any] = {"chat_template": "one", "eos_token": eos, "bos_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    template = load_template(Model(source="x"), tmp_path)
    assert (template.source, template.bos, template.eos) == ("one", "", "</s>")
    config["chat_template"] = [{"name": "tool_use", "template": "two"}, {"name": "default", "template": "three"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert load_template(Model(source="x"), tmp_path).source == "three"
    config["chat_template"] = config["chat_template"][:1]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(RecipeError, match="no chat template"):
        load_template(Model(source="x"), tmp_path)


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff"])
def test_a_broken_tokenizer_file_is_not_an_empty_one(tmp_path: Path, content: bytes) -> None:
    """Otherwise a template of ours would leave out BOS."""
    (tmp_path / "tokenizer_config.json").write_bytes(content)
    with pytest.raises(RecipeError, match=r"model.source: tokenizer_config.json of x (cannot be read|should hold)"):
        load_template(Model(source="x", template="alpaca"), tmp_path)


def test_older_files_name_the_tokens_apart(tmp_path: Path) -> None:
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": {"content": "</s>"}})
    )
    template = load_template(Model(source="x", template="chatml"), tmp_path)
    assert (template.bos, template.eos) == ("<s>", "</s>")
