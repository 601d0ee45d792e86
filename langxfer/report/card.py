"""The model card: what was adapted, how, from what data, how it scored, and what to know before using it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langxfer.languages import language
from langxfer.recipe_text import yaml_text
from langxfer.report.card_data import base_model, dataset, front_matter
from langxfer.report.finished import Finished
from langxfer.report.licences import licence
from langxfer.report.made_by import MadeBy, dropped, made_by
from langxfer.report.paths import shown_file, without_folders
from langxfer.report.samples import cell
from langxfer.report.score_names import languages_of
from langxfer.report.tables import format_score, how_compared, score_rows

USE = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

name = "{name}"
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name)
messages = [{{"role": "user", "content": "How are you?"}}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**inputs, max_new_tokens=200, do_sample=False)
print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
```"""


def model_card(run: Finished, name: str | None = None, chosen_licence: str | None = None) -> str:
    """A Markdown model card with the front matter that model hubs read.

    Args:
        run: a run, not an evaluation.
        name: by which the model is loaded; None for the folder that the card lies in.
        chosen_licence: of the model, by its author, who has looked at those of its parts.
    """
    assert run.recipe is not None
    recipe = without_folders(run.recipe)
    terms = licence(run, chosen_licence)
    sections = {
        "Languages": _languages(recipe["data"]),
        "Data": _data(run, recipe),
        "Method": _method(run, recipe["phases"]),
        "Training": _training(run),
        "Scores": _scores(run),
        "Limits": _limits(run, recipe["data"]),
        "Licence": [f"- {sentence}" for sentence in terms.sentences],
        "How to use it": [USE.format(name=name or ".")],
        "How to reproduce it": _reproduce(run, recipe),
    }
    lines = [front_matter(run, terms), "", f"# {cell(run.title)}", "", _first_sentence(run, recipe)]
    for title, body in sections.items():
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def _first_sentence(run: Finished, recipe: Mapping[str, Any]) -> str:
    names = ", ".join(language(tag).name for tag in recipe["data"]["target_languages"])
    objectives = ", then ".join(f"`{phase['objective']['name']}`" for phase in recipe["phases"])
    version = made_by(run)[-1].versions["langxfer"]
    return f"{_base(run, recipe)} adapted to {names} with langxfer {version}: {objectives}."


def _base(run: Finished, recipe: Mapping[str, Any]) -> str:
    source, hub_id = recipe["model"]["source"], base_model(run)
    revision = run.manifest["model"]["weights"]
    return f"[{hub_id}](https://huggingface.co/{hub_id}) (commit `{revision}`)" if hub_id else f"`{source}`"


def _languages(data: Mapping[str, Any]) -> list[str]:
    tags = [(data["source_language"], "of the data")] + [(tag, "adapted to") for tag in data["target_languages"]]
    return [f"- {language(tag).name} ({language(tag).native_name}, `{tag}`): {role}" for tag, role in tags]


def _data(run: Finished, recipe: Mapping[str, Any]) -> list[str]:
    data, encoded = recipe["data"], run.manifest["encoded"]
    source = f"`{data['source']}`" + (" of the Hugging Face hub" if dataset(run) else "")
    made = (
        "parallel as given"
        if recipe["translator"] is None
        else f"translated from {language(data['source_language']).name} by `{recipe['translator']['name']}`"
    )
    lines = [f"{encoded['train']} training and {encoded['validation']} validation pairs from {source}, {made}."]
    if lost := dropped(run.manifest):
        lines += ["", "Dropped:", "", *(f"- {count}: {cell(reason)}" for reason, count in lost.items())]
    if encoded["train_cut"] + encoded["validation_cut"]:
        lines += ["", f"Cut to {data['max_length']} tokens: {encoded['train_cut'] + encoded['validation_cut']} pairs."]
    return lines


def _method(run: Finished, phases: Sequence[Mapping[str, Any]]) -> list[str]:
    about = run.manifest.get("about", {})
    lines: list[str] = []
    for number, phase in enumerate(phases, 1):
        lines.append(f"{number}. " + _component("objective", phase["objective"], about))
        lines.append(f"   - trained: {_component('selector', phase['selector'], about)}")
    return lines


def _component(kind: str, values: Mapping[str, Any], about: Mapping[str, str]) -> str:
    options = ", ".join(f"`{name}: {_value(value)}`" for name, value in values.items() if name != "name")
    says = about.get(f"{kind} {values['name']}", "")
    return f"`{values['name']}`" + (f" ({options})" if options else "") + (f". {says}" if says else "")


def _value(value: Any) -> str:
    return (
        {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _training(run: Finished) -> list[str]:
    assert run.recipe is not None
    stages = [stage for stage in run.manifest["stages"] if stage["artifact"].startswith("train/")]
    lines = ["| phase | steps | batch | learning rate | tokens | trained | time | peak memory |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for stage, phase in zip(stages, run.recipe["phases"], strict=True):
        training = phase["training"]
        lines.append(
            f"| {cell(stage['stage'])} | {stage['steps']} | {training['batch_size']} | {training['learning_rate']:g} "
            f"{training['schedule']} | {_tokens(stage)} | {stage['trained_share']:.1%} of the parameters "
            f"| {stage['seconds'] / 60:.1f} min | {stage['peak_memory'] / 2**30:.1f} GiB |"
        )
    whole = sum(stage["seconds"] for stage in run.manifest["stages"]) / 60
    machines = ", then on ".join(map(_machine, made_by(run)))
    lines += ["", f"On {machines}; in {run.recipe['model']['dtype']}. "]
    lines[-1] += f"All stages together, translation and evaluations among them, took {whole:.1f} minutes."
    return lines


def _tokens(stage: Mapping[str, Any]) -> str:
    """Of prompts and responses in all steps; a model of unknown parts has none counted."""
    passes = stage["accounting"].get("passes")
    if passes is None:
        return "not counted"
    return f"{sum(part['tokens'] for name, part in passes['training'].items() if name in ('prompt', 'response')):,}"


def _machine(own: MadeBy) -> str:
    hardware = own.hardware
    device = hardware.get("accelerator") or f"{hardware['device']} ({hardware['threads']} threads)"
    libraries = ", ".join(f"{name} {own.versions[name]}" for name in ("torch", "transformers"))
    return f"{hardware['processes']} × {device} with {libraries}"


def _scores(run: Finished) -> list[str]:
    if not run.after:
        return ["Nothing was measured."]
    scores = run.scores()
    rows = [
        f"| {cell(row.name)} | {format_score(row.before)} | {format_score(row.after)} | {_escaped(row.change)} "
        f"| {_escaped(row.p)} | {row.after.unit} | {row.n} |"
        for row in score_rows(scores)
    ]
    header = ["| score | before | after | change | p | unit | n |", "|---|---|---|---|---|---|---|"]
    compared = how_compared(scores.comparisons)
    about = "Values with their standard error; before is the unadapted model. Signatures are in `scores.json`."
    measured = [
        f"- `{name}`: {says}"
        for name, says in ((key.removeprefix("evaluator "), v) for key, v in run.manifest.get("about", {}).items())
        if name in run.after
    ]
    return [
        *header,
        *rows,
        "",
        *([_escaped(compared), ""] if compared else []),
        about,
        *(["", *measured] if measured else []),
    ]


def _limits(run: Finished, data: Mapping[str, Any]) -> list[str]:
    lines = [
        "- Scores measure what their names say and nothing else; fluent text in the right language can still be wrong.",
        "- Nothing was done for the safety of answers, and the base model's may not carry over to other languages.",
    ]
    if data["format"] != "parallel":
        lines.append("- The training data is translated by a machine and carries its errors.")
    lines += [f"- Measured to be worse than before: {cell(name)}." for name in _worse(run)]
    scores = [score for own in run.after.values() for score in own.scores if score.value is not None]
    measured = {tag for score in scores for tag in languages_of(score.name)}
    lines += [f"- No score is of {language(tag).name}." for tag in data["target_languages"] if tag not in measured]
    return lines


def _worse(run: Finished) -> Iterator[str]:
    return (own.second.name for own in run.scores().comparisons if own.verdict == "worse")


def _reproduce(run: Finished, recipe: Mapping[str, Any]) -> list[str]:
    manifest = run.manifest
    lines = [
        "```bash",
        f"pip install langxfer=={made_by(run)[-1].versions['langxfer']}",
        "langxfer run filled.yaml",
        "```",
        "",
    ]
    lines.append(
        "This is `filled.yaml`, the recipe with all defaults; files are named without the folders they were in."
    )
    identity = manifest["data"]["identity"]
    if "sha256" in identity:
        lines.append(f"`{recipe['data']['source']}` has the SHA-256 `{identity['sha256']}`.")
    for plugin in manifest["plugins"]:
        lines.append(f"It needs the plugin `{shown_file(plugin['file'])}` with the SHA-256 `{plugin['sha256']}`.")
    return [*lines, "", "```yaml", yaml_text(recipe).rstrip(), "```"]


def _escaped(text: str) -> str:
    return text.replace("*", "\\*").replace("<", "&lt;")
