"""The layouts of instruction data (``data.format``): raw records -> rows of turns.

- ``alpaca``: instruction, optional input (joined by a blank line), output.
- ``messages``: a list of {role, content}. The first user message and the assistant message right after it
  make the turn; a system message at the start goes before the prompt; later messages are not used.
- ``oasst``: OpenAssistant, as trees (``prompt`` with nested ``replies``) or as flat messages with ``parent_id``.
  One row per tree in the source language, the prompt with its best-ranked reply, or one for each of its best
  ``replies_per_prompt``. Rows come in order of highest rank (0 first, no rank last), ties by the reply's message id.
- ``parallel``: an id and one {instruction, input, output} object per language tag.

White space around a text is not part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from langxfer.data import Turn
from langxfer.records import Record

if TYPE_CHECKING:
    from langxfer.recipe import Data, Fields


@dataclass(frozen=True)
class SourceRow:
    """One usable row: language tag -> turn; several languages for parallel data, else one.

    ``missing`` says of target languages that parallel data should have here and has not, why. ``again`` is the id of
    the row that has the same prompt with a better reply, None for the best one.
    """

    id: str
    turns: Mapping[str, Turn]
    missing: Mapping[str, str] = field(default_factory=dict)
    again: str | None = None


@dataclass(frozen=True)
class Rejected:
    """What is not used, and why. ``row`` is an id (``id/tag`` for one language of it), or ``file:line``."""

    row: str
    reason: str


class _Unusable(Exception):
    """A row, or one language of it, cannot be used for the reason given."""


def _alpaca(records: Sequence[Record], data: Data) -> Iterator[SourceRow | Rejected]:
    for record in records:
        try:
            turn = _instruction_turn(_object(record.value), data.fields, data.source_language)
            yield SourceRow(_id(record, data.fields.id), {data.source_language: turn})
        except _Unusable as unusable:
            yield Rejected(_label(record, data.fields.id), str(unusable))


def _messages(records: Sequence[Record], data: Data) -> Iterator[SourceRow | Rejected]:
    for record in records:
        try:
            turn = _first_turn(_object(record.value).get(data.fields.messages), data)
            yield SourceRow(_id(record, data.fields.id), {data.source_language: turn})
        except _Unusable as unusable:
            yield Rejected(_label(record, data.fields.id), str(unusable))


def _parallel(records: Sequence[Record], data: Data) -> Iterator[SourceRow | Rejected]:
    for record in records:
        try:
            row = _object(record.value)
            row_id = _id(record, data.fields.id)
            source = _side(row, data.source_language, data.fields)
        except _Unusable as unusable:
            yield Rejected(_label(record, data.fields.id), str(unusable))
            continue
        targets: dict[str, Turn] = {}
        missing: dict[str, str] = {}
        for tag in data.target_languages:
            try:
                targets[tag] = _side(row, tag, data.fields)
            except _Unusable as unusable:
                missing[tag] = str(unusable)
        if targets:
            yield SourceRow(row_id, {data.source_language: source, **targets}, missing)
        else:
            yield Rejected(row_id, "; ".join(missing.values()))


def _oasst(records: Sequence[Record], data: Data) -> Iterator[SourceRow | Rejected]:
    ranked: list[tuple[tuple[bool, float, str], SourceRow]] = []
    for tree in _trees(records):
        try:
            prompt = _object(_object(tree.value).get("prompt"))
            first = _id(tree, "message_tree_id")
            for place, reply in enumerate(_best_replies(prompt, data.source_language, data.replies_per_prompt), 1):
                turn = _turn(_text(prompt, "text"), _text(reply, "text"), data.source_language)
                name, again = (first, None) if place == 1 else (f"{first}:{place}", first)
                ranked.append((_rank(reply), SourceRow(name, {data.source_language: turn}, again=again)))
        except _Unusable as unusable:
            yield Rejected(_label(tree, "message_tree_id"), str(unusable))
    yield from (row for _, row in sorted(ranked, key=lambda item: item[0]))


FORMATS: Mapping[str, Callable[[Sequence[Record], Any], Iterator[SourceRow | Rejected]]] = {
    "alpaca": _alpaca,
    "messages": _messages,
    "oasst": _oasst,
    "parallel": _parallel,
}


# ---------------------------------------------------------------- OpenAssistant


def _trees(records: Sequence[Record]) -> Iterator[Record]:
    """Trees as they are; flat messages, as the hub has them, become trees of the first turn."""
    replies: dict[str, list[Any]] = {}
    for record in records:
        if isinstance(record.value, Mapping) and isinstance(record.value.get("parent_id"), str):
            replies.setdefault(record.value["parent_id"], []).append(record.value)
    for record in records:
        value = record.value
        if not isinstance(value, Mapping) or "prompt" in value:
            yield record
        elif not value.get("parent_id"):
            root = value.get("message_id")
            known = replies.get(root, []) if isinstance(root, str) else []
            tree = {"message_tree_id": root, "prompt": {**value, "replies": known}}
            yield Record(record.number, record.where, tree)


def _best_replies(prompt: Mapping[str, Any], tag: str, most: int | Literal["all"]) -> list[Mapping[str, Any]]:
    language = _text(prompt, "lang")
    if not _is_language(language, tag):
        raise _Unusable(f'the tree is in "{language}", not in "{tag}"')
    if prompt.get("deleted"):
        raise _Unusable("the prompt is deleted")
    replies = prompt.get("replies")
    usable = [
        reply
        for reply in (replies if isinstance(replies, list) else [])
        if isinstance(reply, Mapping)
        and reply.get("role") == "assistant"
        and not reply.get("deleted")
        and _is_language(reply.get("lang", tag), tag)
        and isinstance(reply.get("text"), str)
        and reply["text"].strip()
    ]
    if not usable:
        raise _Unusable("no answer to the first turn")
    return sorted(usable, key=_rank)[: None if most == "all" else most]


def _is_language(found: Any, tag: str) -> bool:
    """OpenAssistant writes regions for some languages (pt-BR, uk-UA)."""
    return isinstance(found, str) and tag in (found, found.split("-")[0])


def _rank(reply: Mapping[str, Any]) -> tuple[bool, float, str]:
    """The best comes first: lowest rank, then no rank; ties by message id."""
    rank = reply.get("rank")
    ranked = isinstance(rank, int | float) and rank == rank  # a table may hold NaN where there is no rank
    return (not ranked, float(rank) if ranked else 0.0, str(reply.get("message_id", "")))


# ---------------------------------------------------------------- parts of a row


KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a decimal number",
    type(None): "null",
}


def _kind(value: Any) -> str:
    """What JSON calls a value; a table may hold others."""
    return KINDS.get(type(value), type(value).__name__)


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Unusable(f"not an object but {_kind(value)}")
    return value


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        raise _Unusable(f'no field "{name}"')
    if not isinstance(value, str):
        raise _Unusable(f'field "{name}" is {_kind(value)}, not text')
    return value.strip()


def _turn(prompt: str, response: str, language: str) -> Turn:
    for name, text in (("prompt", prompt), ("response", response)):
        if not text:
            raise _Unusable(f"empty {name}")
        _check_unicode(text, name)
    return Turn(prompt, response, language)


def _check_unicode(text: str, name: str) -> None:
    # JSON can spell half of a surrogate pair ("\ud800"), which no UTF-8 file can hold.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _Unusable(f"{name} is not valid Unicode (half of a surrogate pair)")


def _instruction_turn(row: Mapping[str, Any], fields: Fields, language: str) -> Turn:
    instruction = _text(row, fields.instruction)
    context = "" if row.get(fields.input) is None else _text(row, fields.input)
    prompt = "\n\n".join(part for part in (instruction, context) if part)
    return _turn(prompt, _text(row, fields.output), language)


def _side(row: Mapping[str, Any], tag: str, fields: Fields) -> Turn:
    """One language of a parallel row."""
    value = row.get(tag)
    if not isinstance(value, Mapping):
        raise _Unusable(f'no side "{tag}"' if value is None else f'side "{tag}" is not an object')
    try:
        return _instruction_turn(value, fields, tag)
    except _Unusable as unusable:
        raise _Unusable(f"{tag}: {unusable}") from None


def _first_turn(messages: Any, data: Data) -> Turn:
    """The first user message and the assistant message right after it."""
    if not isinstance(messages, list):
        raise _Unusable(f'field "{data.fields.messages}" is {_kind(messages)}, not a list of messages')
    spoken = [_object(message) for message in messages]
    roles = [message.get("role") for message in spoken]
    if "user" not in roles:
        raise _Unusable("no user message")
    first = roles.index("user")
    if roles[first + 1 : first + 2] != ["assistant"]:
        raise _Unusable("no assistant message after the first user message")
    question, answer = _text(spoken[first], "content"), _text(spoken[first + 1], "content")
    turn = _turn(question, answer, data.source_language)
    system = _text(spoken[0], "content") if roles[0] == "system" else ""
    return _turn(f"{system}\n\n{question}", answer, data.source_language) if system else turn


def _id(record: Record, name: str) -> str:
    value = record.value.get(name)
    if value is None or value == "":
        return f"row-{record.number}"
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _Unusable(f'id field "{name}" is {_kind(value)}, not text or a whole number')
    _check_unicode(str(value), "id")
    return str(value)


def _label(record: Record, name: str) -> str:
    """What a refused row is called: its id where it has one, else where it stands."""
    try:
        given = isinstance(record.value, Mapping) and record.value.get(name) not in (None, "")
        return _id(record, name) if given else record.where
    except _Unusable:
        return record.where
