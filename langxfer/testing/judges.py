"""What the evaluators rely on in judges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from langxfer.components import Contest, Judge, Verdict
from langxfer.testing.contracts import check_component, require

ASKED = "Which answer is better, {first} (m) or {second} (M)? Answer with m or M."


def contest(first: str, second: str, instruction: str = "Name a colour.") -> Contest:
    """Two answers, with a short prompt."""
    told = (("system", "You compare answers."), ("user", ASKED.format(first=first, second=second)))
    return Contest("0/en", instruction, first, second, told, ("m", "M"))


CONTESTS = (contest("Red.", "Seven."), contest("Seven.", "Red."), contest("", "Red."))


def check_judge(judge: Judge, contests: Sequence[Contest] = CONTESTS, device: str = "cpu") -> None:
    """Open it and judge: a verdict for each contest, from 0 to 1 or with the problem; nothing out of nothing."""
    check_component(judge, Judge)
    require(judge.answers in ("ranking", "label"), f"answers is {judge.answers!r}; expected ranking or label")
    resolved = judge.on(device)
    require(isinstance(resolved, Judge), f"on gives {type(resolved).__name__}; expected Judge")
    require(resolved.on(device) == resolved, "on gives another judge when it is asked again")
    with TemporaryDirectory() as cache, judge.open(device, Path(cache)) as opened:
        require(list(opened.judge([])) == [], "no contests must give no verdicts")
        for ask in (opened.judge, getattr(opened, "judge_again", opened.judge)):
            verdicts = list(ask(list(contests)))
            require(len(verdicts) == len(contests), f"{len(verdicts)} verdicts on {len(contests)} contests")
            for verdict in verdicts:
                require(isinstance(verdict, Verdict), f"{verdict!r} is no Verdict")
                if verdict.preference is None:
                    require(verdict.problem, "a verdict without preference must name the problem")
                else:
                    require(0 <= verdict.preference <= 1, f"preference {verdict.preference} is not from 0 to 1")
        if hasattr(opened, "usage"):
            used = opened.usage()
            require(all(isinstance(value, int | float) for value in used.values()), f"usage() gives {used}, no numbers")
