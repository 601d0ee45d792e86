"""What no translator may see: code, URLs, e-mail addresses, LaTeX, HTML tags, characters that are no text.

All of it is found by one expression, from left to right, so that what starts first wins: a dollar sign inside code
opens no formula, and a fence inside a comment no code.
"""

from __future__ import annotations

import re

HIDDEN = "\0"  # stands for each character of what is verbatim; a real NUL is verbatim too

_REACH = 20_000  # characters within which something that was opened must be closed, or it was not opened

# A line that opens a fence may begin with quote marks and list markers. An unclosed fence of backticks goes on to the
# end, as in CommonMark; an unclosed line of tildes is an ornament.
_FENCE = r"""
    ^[ \t>]* (?: (?:[-*+]|\d{1,9}[.)]) [ \t]+ )*
    (?: (?P<fence>`{3,}) [^`\n]* (?: \n (?: (?s:.*?) \n)?? [ \t>]* (?P=fence)`*[ \t]*$ | $ (?s:.*) )
      | (?P<tildes>~{3,}) [^\n]* \n (?: (?s:.{0,REACH}?) \n)?? [ \t>]* (?P=tildes)~*[ \t]*$ )
"""
# ``quoted'' and `quoted' are how plain text writes quotation marks. They are no code.
_CODE = r"""
    (?<!`) (?P<run>`{3,}) (?!`) (?s:.{1,REACH}?) (?<!`) (?P=run) (?!`)
  | (?<!`) `` (?!`) (?: (?!'') [^\n] )+? (?<!`) `` (?!`)
  | (?<!`) ` (?![^`\n]*'[\s,.;:)][^`\n]*`\w) (?: [^`\s] (?: [^`\n]*[^`\s] )? | [ \t][^`\n]+ ) ` (?!`)
"""
_FORMULA = r"""
    \\begin\{ (?P<environment>[^{}\n]{1,40}) \} (?s:.{0,REACH}?) \\end\{ (?P=environment) \}
  | \\\[ (?s:.{1,REACH}?) \\\]
  | \\\( (?s:.{1,REACH}?) \\\)
  | \\[A-Za-z]{2,}\*? (?: \[[^\[\]\n]*\] )? (?: \{ (?: [^{}\n] | \{[^{}\n]*\} )* \} )+
  | (?<![\\$]) (?P<display>\$\$) (?P<block> (?: [^$\\] | \\. | \\\n ){1,REACH}? ) \$\$
  | (?<![\\$\w]) (?P<dollar>\$) (?![\s$]) (?P<inline> (?: [^$\\\n] | \\[^\n] )*? ) (?<![\s\\]) \$ (?![\d$])
"""
_VALUELESS = (
    "async|autofocus|checked|controls|defer|disabled|hidden|loop|multiple|muted|open|readonly|required|selected"
)
_ATTRIBUTES = rf"""
    (?: \s+ (?: [A-Za-z_:@][\w:.@-]* \s*=\s* (?: "[^"<>]*" | '[^'<>]*' | [^\s"'=<>`]+ )
             | (?:{_VALUELESS}) (?=[\s/>]) ) )*
"""
_HTML = rf"""
    <!-- (?s:.{{0,REACH}}?) -->
  | <(?P<raw>(?i:script|style|pre|code|svg|math|textarea|kbd|samp)) {_ATTRIBUTES} \s*> (?s:.{{0,REACH}}?) </(?P=raw)\s*>
  | </?[A-Za-z][A-Za-z0-9:-]* {_ATTRIBUTES} \s*/?>
  | <[!?][A-Za-z][^<>]*>
"""
# A URL ends before a script that is written without spaces: 请访问https://example.org/了解更多.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
_PART = rf"""[^\s<>"`\\|()\[\]{{}}\0-\x1f\ud800-\udfff{_UNSPACED}]"""
_ADDRESS = rf"(?: {_PART} | \( {_PART}* \) | \[ {_PART}* \] | \{{ {_PART}* \}} )"
_DOMAINS = "com|org|net|edu|gov|io|co|de|uk|cn|kr|ng|ke|tz|info|dev|ai"
_URL = rf"""
    (?<![A-Za-z0-9]) [A-Za-z][A-Za-z0-9+.-]{{1,15}}://{_ADDRESS}+ (?<![.,;:!?'*_~])
  | (?<!\w) www\.{_ADDRESS}+ (?<![.,;:!?'*_~])
  | (?<![\w.@-]) (?:[A-Za-z0-9-]{{1,63}}\.)+(?:{_DOMAINS})/{_ADDRESS}* (?<![.,;:!?'*_~])
  | (?<![\w.%+-]) (?:mailto:)? [A-Za-z0-9._%+-]{{1,64}}@(?:[A-Za-z0-9-]{{1,63}}\.)+[A-Za-z]{{2,24}}
"""
# Of links all but the text, which is translated; [^note]; {name}, {{name}}
_TARGET = rf"""(?: \] \( (?: {_PART} | \( {_PART}* \) )* (?: [ \t]+ "[^"\n]*" )? \) | \] \[ [^\[\]\n]* \] )"""
_MARKS = rf"""
    !?\[ (?= [^\[\]\n]{{1,500}} {_TARGET} )
  | {_TARGET}
  | \[\^ [^\[\]\s]+ \]
  | \{{\{{ [^{{}}\n]* \}}\}} | \{{[A-Za-z_]\w*\}}
"""
_NO_TEXT = r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff]+"

_VERBATIM = re.compile(
    "|".join([_FENCE, _CODE, _FORMULA, _HTML, _MARKS, _URL, _NO_TEXT]).replace("REACH", str(_REACH)),
    re.MULTILINE | re.VERBOSE,
)
# Most texts have none of it. Each alternative above needs one of these, or "www.".
_SIGN = re.compile(r"[`~$\\<@{/\]\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff]")
_LINE_BREAK = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_FORMULA_SIGN = re.compile(r"[\\^_={}+<>]")
_PROSE = re.compile(r"\s[^\W\d_]{2,}|[^\W\d_]{2,}[,.;:!?]?\s")


def hide_verbatim(text: str) -> str:
    """A text of the same length with HIDDEN in the place of all that is verbatim, and every line break as ``\\n``.

    The CR of a CR LF becomes a space. An index in one text is the same place in the other.
    """
    text = _LINE_BREAK.sub(lambda found: " \n" if len(found[0]) == 2 else "\n", text)
    if not _SIGN.search(text) and "www." not in text:
        return text
    parts, kept, position = [], 0, 0
    while found := _VERBATIM.search(text, position):
        if _is_money(found):
            position = found.start() + 1
            continue
        parts += [text[kept : found.start()], HIDDEN * len(found[0])]
        kept = position = found.end()
    return "".join([*parts, text[kept:]])


def _is_money(found: re.Match[str]) -> bool:
    """Whether dollar signs stand around prose ("$5 and 6$ a week") rather than around a formula."""
    content = found["inline"] if found["dollar"] else found["block"] if found["display"] else None
    return content is not None and not _FORMULA_SIGN.search(content) and bool(_PROSE.search(content))
