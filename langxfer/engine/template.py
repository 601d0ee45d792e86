"""The chat template: one object for training, evaluation, preview and checks.

It renders exactly as transformers' ``apply_chat_template`` does (a test compares them), but needs
no torch, so that ``langxfer check`` can try a template in milliseconds. Rendering is a pure
function: templates that ask for today's date (``strftime_now``) take their own default, or ``TODAY``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.errors import RecipeError
from langxfer.hub import first_line

if TYPE_CHECKING:
    from langxfer.recipe import Model

TODAY = date(2024, 7, 26)  # the day that Llama's templates fall back on

# For base models. Each ends a response with EOS and begins with BOS where the tokenizer has one.
NAMED: dict[str, str] = {
    "alpaca": (
        "{{ bos_token }}{% for message in messages %}"
        "{% if message['role'] == 'user' %}### Instruction:\n{{ message['content'] }}\n\n"
        "{% elif message['role'] == 'assistant' %}### Response:\n{{ message['content'] }}{{ eos_token }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}### Response:\n{% endif %}"
    ),
    "chatml": (
        "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{{ message['content'] }}{{ eos_token if message['role'] == 'assistant' else '<|im_end|>' }}\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "plain": (
        "{{ bos_token }}{% for message in messages %}{{ message['content'] }}"
        "{{ eos_token if message['role'] == 'assistant' else '\\n\\n' }}{% endfor %}"
    ),
}
TAKE_SYSTEM = ("chatml", "plain")


def _environment() -> Any:
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %} ... {% endgeneration %}`` marks the answer in some templates; its body is kept."""

        tags = {"generation"}  # noqa: RUF012 (jinja2 declares it so)

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise ValueError(message)

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **others: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **others)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    return environment


@dataclass(frozen=True)
class Template:
    """A jinja chat template with the special tokens that it may name.

    Attributes:
        name: ``tokenizer`` or the name of a built-in template.
        source: the jinja text.
        bos: text of the BOS token, or "".
        eos: text of the EOS token, or "".
    """

    name: str
    source: str
    bos: str
    eos: str

    @cached_property
    def _compiled(self) -> Any:
        environment = _environment()
        if not re.search(r"strftime_now\s+is\s+(not\s+)?defined", self.source):  # it has no default of its own
            environment.globals["strftime_now"] = TODAY.strftime
        return environment.from_string(self.source)

    def _render(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        return self._compiled.render(
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            bos_token=self.bos,
            eos_token=self.eos,
        )

    def prompt(self, prompt: str, system: str | None = None) -> str:
        """The text up to where the model begins to answer, generation header included.

        Args:
            prompt: of the user's turn.
            system: of a turn before it; None for none.

        Raises:
            RecipeError: there is a system turn, and the template refuses or ignores it.
        """
        turn = {"role": "user", "content": prompt}
        if system is None:
            return self._render([turn], True)
        if self._without_system:
            raise RecipeError(self._without_system)
        return self._render([{"role": "system", "content": system}, turn], True)

    @cached_property
    def _without_system(self) -> str | None:
        """Why there can be no system turn; None where there can."""
        said = "Answer in rhymes."
        turns = [{"role": "system", "content": said}, {"role": "user", "content": "How are you?"}]
        try:
            problem = None if said in self._render(turns, True) else "ignores a system turn"
        except Exception as error:  # see try_out
            problem = f"refuses a system turn ({first_line(error)})"
        return problem and (
            f"model.template: the {self._label} {problem}, and an evaluator asks with one. Let the evaluator ask "
            f"without it, or choose a built-in template that takes one: {', '.join(TAKE_SYSTEM)}."
        )

    def full(self, prompt: str, response: str) -> str:
        """The text of prompt and answer, up to the end of the turn."""
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        return self._render(messages, False)

    def try_out(self) -> None:
        """Render one turn.

        Raises:
            RecipeError: the template is broken, or what it makes of a finished turn does not begin with its prompt.
        """
        try:
            prompt, full = self.prompt("How are you?"), self.full("How are you?", "Well, thank you.")
        except Exception as error:  # a template is the model author's code and can fail in any way
            raise RecipeError(
                f"model.template: the {self._label} cannot render a plain turn ({type(error).__name__}: {error}). "
                f"Choose a built-in one: {', '.join(NAMED)}."
            ) from None
        if not full.startswith(prompt):
            raise RecipeError(
                f"model.template: the {self._label} does not keep the prompt as the beginning of the finished turn, so "
                f"the model would be trained on other prompts than it is asked.\n  prompt ends in   {prompt[-60:]!r}\n"
                f"  finished turn is {full[-100:]!r}\n  Choose a built-in one: {', '.join(NAMED)}."
            )
        if "Well, thank you." not in full[len(prompt) :]:
            raise RecipeError(
                f"model.template: the {self._label} loses the answer. Choose a built-in one: {', '.join(NAMED)}."
            )

    @property
    def _label(self) -> str:
        return "tokenizer's chat template" if self.name == "tokenizer" else f"template {self.name!r}"


def load_template(model: Model, folder: Path) -> Template:
    """The template that the recipe names, or the tokenizer's own, with the tokens that the tokenizer's files name.

    Some tokenizers have tokens that no file names: who has loaded one fills them in.

    Raises:
        RecipeError: no such name, or the tokenizer has none and the recipe names none, or its settings are broken.
    """
    settings = _settings(folder / "tokenizer_config.json", model)
    others = _settings(folder / "special_tokens_map.json", model)  # of older tokenizers, it alone names the tokens
    bos, eos = (_token(settings.get(name)) or _token(others.get(name)) for name in ("bos_token", "eos_token"))
    if model.template is not None:
        if model.template not in NAMED:
            raise RecipeError(
                f"model.template: there is no {model.template!r}. Built-in templates: {', '.join(NAMED)}."
            )
        return Template(model.template, NAMED[model.template], bos, eos)
    file = folder / "chat_template.jinja"
    source = file.read_text(encoding="utf-8") if file.is_file() else settings.get("chat_template")
    if isinstance(source, list):  # several named templates, as older tokenizers have them
        own = {entry.get("name"): entry.get("template") for entry in source if isinstance(entry, dict)}
        source = own.get("default")
    if not source:
        raise RecipeError(
            f"model.template: the tokenizer of {model.source} has no chat template (is it a base model?). "
            f"Name one, in the recipe or by --set model.template=…: {', '.join(NAMED)}."
        )
    return Template("tokenizer", source, bos, eos)


def _settings(path: Path, model: Model) -> dict[str, Any]:
    """What the tokenizer's file says. A broken one is no empty one: prompts would lose their BOS without a word."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RecipeError(f"model.source: {path.name} of {model.source} cannot be read: {first_line(error)}.") from None
    if not isinstance(settings, dict):
        raise RecipeError(f"model.source: {path.name} of {model.source} should hold one JSON object and does not.")
    return settings


def _token(value: Any) -> str:
    return value.get("content", "") if isinstance(value, dict) else value or ""
