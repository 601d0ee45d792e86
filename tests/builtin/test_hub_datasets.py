"""Data sets of the hub in their real layouts, by the real client libraries, from a hub on this machine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

from langxfer.builtin.evaluators.belebele import items as belebele
from langxfer.builtin.evaluators.mmmlu import items as mmmlu
from tests.hub_of_datasets import Files, serving

ALPACA = "0123456789abcdef0123456789abcdef01234567"
ASK = """
import json, sys
from langxfer import LangxferError
from langxfer.builtin.evaluators.alpaca_eval import AlpacaEval
from langxfer.builtin.evaluators.belebele import Belebele
from langxfer.builtin.evaluators.mmmlu import Mmmlu

found = {
    "belebele": [[q.id, q.context, list(q.options)] for q in Belebele(languages=("sw",)).questions([])],
    "mmmlu": [[p.id, p.text] for p in Mmmlu(languages=("sw", "en")).prompts([])],
    "alpaca": [[p.id, p.text] for p in AlpacaEval(prompts="hub:alpaca_eval.json", revision=sys.argv[1]).prompts([])],
}
try:
    Belebele(languages=("yo",)).questions([])
except LangxferError as error:
    found["error"] = str(error)
print(json.dumps(found))
"""


def configs(*entries: tuple[str, str]) -> bytes:
    """A data set's card, which says which files a subset has."""
    lines = [f"- config_name: {name}\n  data_files:\n  - split: test\n    path: {path}\n" for name, path in entries]
    return f"---\nconfigs:\n{''.join(lines)}---\n".encode()


def belebele_files() -> Files:
    """JSON lines by FLORES code, in the columns of facebook/belebele."""
    row = {
        **{"link": "https://en.wikibooks.org/wiki/X", "question_number": 2, "flores_passage": "Bahari ni kubwa."},
        **{"question": "Bahari ikoje?", **{f"mc_answer{i}": f"jibu {i}" for i in range(1, 5)}},
        **{"correct_answer_num": "3", "dialect": "swh_Latn", "ds": "2023-05-03"},
    }
    text = json.dumps(row) + "\n"
    return {"README.md": configs(("swh_Latn", "data/swh_Latn.jsonl")), "data/swh_Latn.jsonl": text.encode()}


def mmmlu_files() -> Files:
    """CSV by language and region, in the columns of openai/MMMLU: an index without a name comes first."""
    text = ",Question,A,B,C,D,Answer,Subject\n0,Moyo una vyumba vingapi?,moja,mbili,None,nne,D,anatomy\n"
    return {
        "README.md": configs(("default", "test/*.csv"), ("SW_KE", "test/mmlu_SW-KE.csv")),
        "test/mmlu_SW-KE.csv": text.encode(),
        "test/mmlu_DE-DE.csv": b",Question,A,B,C,D,Answer,Subject\n",
    }


def mmlu_files() -> Files:
    """Parquet, with a list of choices and the number of the right one, as cais/mmlu has it."""
    import pyarrow
    from pyarrow import parquet

    rows = {"question": ["How many?"], "subject": ["anatomy"], "choices": [["1", "2", "3", "4"]], "answer": [3]}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(rows), buffer)
    return {
        "README.md": configs(("all", "all/test-*")),
        "all/test-00000-of-00001.parquet": buffer.getvalue(),
    }


def ask(home: Path, endpoint: str, *, offline: bool) -> dict[str, object]:
    """What the evaluators ask, in a process that knows this hub alone."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    own |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline))}
    own |= {"PYTHONPATH": os.pathsep.join(sys.path), "HF_HUB_DISABLE_TELEMETRY": "1", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-c", ASK, ALPACA]
    result = subprocess.run(command, env=own, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


def test_questions_of_the_hub(tmp_path: Path) -> None:
    """With a network, and without one from what was downloaded before."""
    repositories = {
        belebele.HUB: (belebele.PINNED[belebele.HUB], belebele_files()),
        mmmlu.HUB: (mmmlu.REVISION, mmmlu_files()),
        mmmlu.ENGLISH_HUB: (mmmlu.ENGLISH_REVISION, mmlu_files()),
        "tatsu-lab/alpaca_eval": (ALPACA, {"alpaca_eval.json": b'[{"instruction": "Why?", "dataset": "x"}]'}),
    }
    with serving(repositories) as endpoint:
        found = ask(tmp_path, endpoint, offline=False)
    context = "Hati: Bahari ni kubwa.\nSwali: Bahari ikoje?\nA: jibu 1\nB: jibu 2\nC: jibu 3\nD: jibu 4\nJibu:"
    assert found["belebele"] == [["https://en.wikibooks.org/wiki/X#2/sw", context, [" A", " B", " C", " D"]]]
    swahili, english = found["mmmlu"]  # type: ignore[misc]
    assert swahili[0] == "anatomy/0/sw" and swahili[1].endswith("vingapi?\n\nA) moja\nB) mbili\nC) None\nD) nne")
    assert english[0] == "anatomy/0/en" and english[1].endswith("How many?\n\nA) 1\nB) 2\nC) 3\nD) 4")
    assert found["alpaca"] == [["0/en", "Why?"]]
    assert "belebele.source facebook/belebele (subset yor_Latn, split test" in str(found["error"])
    again = ask(tmp_path, endpoint, offline=True)
    assert "belebele.source facebook/belebele (subset yor_Latn" in str(again.pop("error"))
    assert again == {name: value for name, value in found.items() if name != "error"}
