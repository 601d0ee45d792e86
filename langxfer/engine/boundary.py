"""Where a context ends and an option begins, in tokens.

Both are tokenised together, as the model would meet them; the context ends where it ends by itself. Where a tokenizer
merges across that boundary (often without a space: Chinese, Korean), the context of all options of the question ends
with the last token that is the same in all of them and in the context alone: their log-probabilities then include the
same end of the context, and can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from langxfer.components import Question
from langxfer.engine.branching import Ids, common
from langxfer.engine.encode import CHUNK, Encoder
from langxfer.errors import DataError

Encoded = tuple[Ids, tuple[Ids, ...]]  # a context and its options


class Boundary:
    """Tokenises plain texts, and contexts with options, with the tokenizer of an encoder."""

    def __init__(self, encoder: Encoder):
        self._encoder = encoder
        self._tokenizer = encoder.tokenizer

    @cached_property
    def start(self) -> int:
        """What comes before the first token of a text where nothing else does: BOS, or else EOS."""
        bos, eos = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        return next((token for token in (bos, eos) if token is not None), min(self._encoder.stop_ids))

    def plain(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of plain texts without BOS; one that is written at the beginning of a text is taken away."""
        found = [tuple(ids) for ids in self._encoder.ids(texts)]
        return [ids[1:] if ids[:1] == (self.start,) else ids for ids in found]

    def encode(self, questions: Sequence[Question]) -> Iterator[Encoded]:
        """Contexts and options of questions in order.

        Raises:
            DataError: an option has no token.
        """
        for begin in range(0, len(questions), CHUNK):
            chunk = questions[begin : begin + CHUNK]
            split = [self._split(question) for question in chunk]
            alone = iter(self._ids(chunk, [[context] for context, _ in split]))
            together = iter(self._ids(chunk, [[context + option for option in options] for context, options in split]))
            for question, (_, options) in zip(chunk, split, strict=True):
                own = next(alone)
                joint = [next(together) for _ in options]
                found = self._in_turn(own, joint, options) if question.chat else self._in_text(own, joint)
                yield self._checked(question, found)

    def _split(self, question: Question) -> tuple[str, list[str]]:
        """The text of the context, without the white space at its end, which goes to the options. A turn keeps it."""
        if question.chat:
            return self._encoder.template.prompt(question.context), list(question.options)
        context = question.context.rstrip()
        return context, [question.context[len(context) :] + option for option in question.options]

    def _ids(self, questions: Sequence[Question], texts: Sequence[Sequence[str]]) -> list[Ids]:
        """Ids of the questions' texts, one question after the other."""
        turns = [text for question, own in zip(questions, texts, strict=True) if question.chat for text in own]
        plain = [text for question, own in zip(questions, texts, strict=True) if not question.chat for text in own]
        in_turns, in_text = iter(self._encoder.ids(turns)), iter(self._encoder.plain_ids(plain))
        return [
            tuple(next(in_turns if question.chat else in_text))
            for question, own in zip(questions, texts, strict=True)
            for _ in own
        ]

    def _in_text(self, alone: Ids, joint: Sequence[Ids]) -> Encoded:
        end = common(alone, *joint)
        if not end:  # nothing comes before the option
            options = [ids[1:] if ids[:1] == (self.start,) else ids for ids in joint]
            return (self.start,), tuple(options)
        return alone[:end], tuple(ids[end:] for ids in joint)

    def _in_turn(self, prompt: Ids, joint: Sequence[Ids], options: Sequence[str]) -> Encoded:
        """As answers are trained and generated: after exactly the tokens of the prompt."""
        found = []
        for ids, option in zip(joint, options, strict=True):
            follows = ids[: len(prompt)] == prompt
            found.append(ids[len(prompt) :] if follows else tuple(self._encoder.ids([option])[0]))
        return prompt, tuple(found)

    def _checked(self, question: Question, found: Encoded) -> Encoded:
        for option, ids in zip(question.options, found[1], strict=True):
            if not ids:
                raise DataError(f"question {question.id}: the tokenizer makes no token of the option {option!r}.")
        return found

    def cut(self, context: Ids, room: int) -> Ids:
        """The end of the context in ``room`` tokens; BOS stays at its beginning."""
        if len(context) <= room:
            return context
        first = context[:1] if context[:1] == (self.start,) and room > 1 else ()
        return first + context[len(context) - room + len(first) :]
