"""Lines of code that stand in a text without a fence and without indentation, as they often do in chats."""

from __future__ import annotations

import re

_LONGEST = 300  # characters; longer lines are prose
_NAME = r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*|\[[^\[\]]*\])*"
# No word of prose: one letter, or a sign, a digit or a capital letter inside.
_ODD = rf"(?:[A-Za-z](?![\w$.\[])|(?=\w*(?:[\d_$.\[]|[a-z][A-Z])){_NAME})"
_TWO_WORDS = r"\b[^\W\d_]{2,}\s+[^\W\d_]{2,}\b"  # side by side, as no arguments are
_TYPE = r"(?:int|char|bool|boolean|void|unsigned|const|String)\b"
_MODIFIER = r"(?:public|private|protected|static)\b"
_MODULES = (
    "argparse|bs4|collections|csv|datetime|functools|gspread|itertools|json|keras|logging|math|matplotlib|nltk|numpy|os|"
    "pandas|pickle|pygame|random|re|requests|scipy|seaborn|shutil|sklearn|socket|subprocess|sys|tensorflow|threading|"
    "time|tkinter|torch|urllib|warnings"
)
# Prose begins with import, class, let or return as well, so these must be followed by what prose does not have. The
# different lines that match or are calls, 244 of 73,718 in Dolly, OASST and MMLU, are all code or formulas. What could
# be either is prose.
_CODE = re.compile(
    rf"""\s*(?:
        from\ [\w.]+\ import\ [\w.*]+ (?:\ as\ \w+|,\ ?[\w.]+)* ;?$
      | import\ (?:\w+,\ ?)* (?:(?:{_MODULES})\b|\w*[\d_]\w*|\w+(?=\.[\w*])) [\w.*]* (?:\ as\ \w+|,\ ?[\w.]+)* ;?$
      | \#include\s*[<"\0] | \#!/
      | (?:async\ )?def\ \w+\(.*\).*:$ | class\ (?:[A-Z]\w*|\w+\((?!e?s\)).*\)):$ | (?:try|else|finally):$
      | (?:elif|if|while|for|with|except)\ .*
            (?:[A-Za-z_]\w+\.(?!(?:com|net|org)\b)[a-z_]\w|==|[!<>]=|\w\[|[^\W_]_[^\W_]
              |\w\((?!e?s\)|ren\)|[^()"']*{_TWO_WORDS})).*:$
      | return\ (?:{_ODD}|true|false|null|NULL|nullptr);$ | (?<=\s)return\ {_NAME};$
      | {_NAME}\ ?[-+*/|&%:]?=\ ?(?:
            f?(?P<quote>["']).*(?P=quote)[;,)]*$ | [\[{{(](?:.*[\]}}),;\[{{(])?$ | -?\d[\d.]*;?$
          | (?:True|False|None|null);?$ | {_NAME}\(.*[\])}},;(]$ | {_NAME}(?<=\]);?$ )
      | .*(?:\)|=|\b(?:else|try|do))\ ?\{{$ | .*\w\ ?=\ .*;$
      | (?:{_MODIFIER}|{_TYPE}|let|var|fn|func|function|double|float|struct)\ (?:
            .*(?:\{{|\w\()$ | {_NAME}\ ?:?=\ ?.*[;)(]$ )
      | (?:{_MODIFIER}\ )*(?:{_TYPE}[\[\]<>*&\0]*\ |struct\ \w+[*&]*\ )+ [*&]?{_NAME}(?:,\ ?{_NAME})*;$
      | (?:(?:{_MODIFIER}|let|var|double|float)\ )+ {_ODD}(?:,\ ?{_NAME})*;$
    )""",
    re.VERBOSE,
)
_CALL = re.compile(rf"(?P<before>[^.!?]*?)(?P<name>{_NAME})\((?P<inner>.*)\)(?P<end>\s*;?)$")
_BEFORE = re.compile(
    rf"\s*(?:(?:{_MODIFIER}|{_TYPE}[\[\]<>*&]*|else|fn|func|function|return|throw|await|yield|new)\s+[*&]?)*"
)
_DEFINED = re.compile(r"\s*(?:fn|func|function)\s|\s+return\s")
_PLURAL = re.compile(r"e?s|ies|ren|ed|ing")  # friend(s), and the like
_QUOTED = re.compile(r"(?:^|[\s(\[{,=+]|\bf)([\"']).*\1")
_SIGN = re.compile(r"[=+*<>\[\]{}|^→\\_]|\d[^\W\d_]|[^\W\d_]\d")
_FUNCTION = re.compile(r"abs|bool|dict|float|int|len|max|min|print(?:f|ln)?|range|sorted|sqrt|str|sum")


def is_code(line: str) -> bool:
    """Whether a line is surely a statement of a programming language, or a formula written like one.

    Args:
        line: as ``hide_verbatim`` leaves it.
    """
    line = line.rstrip()
    return len(line) <= _LONGEST and (_CODE.match(line) is not None or (line[-1:] in (")", ";") and _is_call(line)))


def _is_call(line: str) -> bool:
    """Whether a line that ends in a bracket is a call: ``print(data)`` is, ``AI(artificial intelligence)`` is not."""
    found = _CALL.match(line)
    if found is None or _PLURAL.fullmatch(found["inner"]):
        return False
    before, name, inner = found["before"], found["name"], found["inner"]
    if not _BEFORE.fullmatch(before) and (not found["end"] or re.search(rf"{_TWO_WORDS}$", before + name)):
        return False
    if len(name) == 1 or _QUOTED.search(inner) or re.match(_TYPE, inner):
        return True
    if re.search(_TWO_WORDS, inner):
        return False
    words = re.findall(r"\w+", inner)
    return bool(
        not inner.strip()
        or _FUNCTION.fullmatch(name)
        or re.fullmatch(_ODD, name)
        or _SIGN.search(inner)
        or _DEFINED.match(before)
        or (found["end"] and not re.search(_MODIFIER, before))
        or all(len(word) == 1 or word == "aq" for word in words)
        or (name[0].islower() and all(word.isdigit() for word in words))
    )
