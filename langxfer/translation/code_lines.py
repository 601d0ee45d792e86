"""Lines of code that stand in a text without a fence and without indentation, as they often do in chats."""

from __future__ import annotations

import re

_LONGEST = 300  # characters; longer lines are prose
_NAME = r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*|\[[^\[\]]*\])*"
# Each of these is rare in prose: the 231 different lines that match, of 94,577 in Dolly, OASST and MMLU, are all code
# or formulas. What could be either is prose.
_CODE = re.compile(
    rf"""\s*(?:
        (?:from\ [\w.]+\ )?import\ [\w.*]+ (?:\ as\ \w+|,\ ?[\w.]+)* ;?$
      | \#include\s*[<"\0] | \#!/
      | (?:async\ )?def\ \w+\(.*\).*:$ | class\ \w+(?:\(.*\))?:$ | (?:try|else|finally):$
      | (?:elif|if|while|for|with|except)\ .*(?:\w\(|\w\.\w|==|[!<>]=|\w\[|_).*:$
      | return\ {_NAME}(?:\(.*\);?|;)$
      | {_NAME}\ ?[-+*/|&%:]?=\ ?(?:
            f?(?P<quote>["']).*(?P=quote)[;,)]*$ | [\[{{(](?:.*[\]}}),;\[{{(])?$ | -?\d[\d.]*;?$
          | (?:True|False|None|null);?$ | {_NAME}\(.*[\])}},;(]$ | {_NAME}(?<=\]);?$ )
      | {_NAME}(?!\(e?s\))\(.*\);?$
      | [^.!?]*[\w\]"')]\(.*\)\s*;$ | .*(?:\)|=|\b(?:else|try|do))\ ?\{{$ | .*\w\ ?=\ .*;$
      | (?:public|private|protected|static|const|let|var|fn|func|function|int|char|void|double|float|struct)\ .*[;{{)(]$
    )""",
    re.VERBOSE,
)


def is_code(line: str) -> bool:
    """Whether a line is surely a statement of a programming language, or a formula written like one.

    Args:
        line: as ``hide_verbatim`` leaves it.
    """
    line = line.rstrip()
    return len(line) <= _LONGEST and _CODE.match(line) is not None
