"""``langxfer translate`` as a user meets it: real processes, pipes, kills."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from langxfer.cli import main
from langxfer.components import Pair
from langxfer.testing import FakeTranslator
from langxfer.translation import open_pipeline, read_units

# The fake translator, with a log of every segment that it is asked for, and a way to die or to fail.
WATCHED = r'''
import os, signal
from typing import Literal
from langxfer import hookimpl
from langxfer.components import Translation
from langxfer.testing.fakes import FakeTranslator
from contextlib import contextmanager

class Watched(FakeTranslator):
    """Writes down what it is asked for; dies at the call KILL_AT."""
    name: Literal["watched"] = "watched"

    @contextmanager
    def open(self, device, cache):
        with super().open(device, cache) as opened:
            yield Open(opened)

class Open:
    def __init__(self, opened):
        self.opened, self.calls = opened, 0

    @property
    def running(self):
        return os.environ.get("RUNNING") if self.calls else None

    def translate(self, segments, pair):
        self.calls += 1
        if self.calls == int(os.environ.get("KILL_AT", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        with open(os.environ["LOG"], "a", encoding="utf-8") as file:
            file.writelines(f"{segment}\n" for segment in segments)
        texts = self.opened.translate(segments, pair)
        return [None if text is None else Translation(text, -len(text) / 100) for text in texts]

@hookimpl
def register_translators():
    return [Watched]
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "watched.py").write_text(WATCHED)
    return tmp_path


def command(*arguments: str) -> list[str]:
    verb = [sys.executable, "-m", "langxfer", "translate", "--from", "en", "--to", "de", "--device", "cpu"]
    named = [] if "--translator" in arguments else ["--translator", "watched", "--plugin", "watched.py"]
    return [*verb, *named, *arguments]


def translate(
    folder: Path, *arguments: str, stdin: bytes = b"", kill_at: int = 0
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LOG": str(folder / "log"), "KILL_AT": str(kill_at)}
    return subprocess.run(
        command(*arguments), input=stdin, capture_output=True, cwd=folder, env=environment, timeout=300, check=False
    )


def expected(text: str) -> str:
    """What the fake translator makes of a document."""
    with open_pipeline(FakeTranslator(), "cpu", Path(os.environ["LANGXFER_CACHE"]), [Pair("en", "de")]) as pipeline:
        (document,) = pipeline.documents([text], Pair("en", "de"))
    assert document.text is not None
    return document.text


PAGE = "# Seas\n\n- The sea is deep. It is cold!\n- See https://example.org\n\n```py\nx = 1\n```\n"


def test_stdin_to_stdout_with_nothing_else_on_it(folder: Path) -> None:
    done = translate(folder, stdin=PAGE.encode())
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == expected(PAGE) != PAGE
    assert "```py\nx = 1\n```" in done.stdout.decode()
    assert b"en-de: 1 of 1 kept" in done.stderr


def test_lines_are_documents_of_their_own(folder: Path) -> None:
    done = translate(folder, "--lines", "-", stdin=b"The sea.\r\n\r\n42\nA bridge.")
    texts = [expected("The sea."), "", "42", expected("A bridge.")]
    assert done.stdout.decode().replace("\r", "").split("\n") == texts
    assert done.stdout.count(b"\r\n") == 2
    assert b"2 texts and 1 without anything to translate" in done.stderr


def rows(count: int) -> bytes:
    """Rows of which no two have the same sentence."""
    lines = [
        {
            "id": 10**30 + n,
            "instruction": f"Say {n} words.",
            "input": None,
            "output": f"Word {n}. And {n} more.",
            "é\u2028": [n],
        }
        for n in range(count)
    ]
    return "".join(json.dumps(line, ensure_ascii=n % 2 == 0) + "\n" for n, line in enumerate(lines)).encode()


def test_json_lines_keep_everything_but_the_fields(folder: Path) -> None:
    (folder / "rows.jsonl").write_bytes(rows(20))
    done = translate(folder, "rows.jsonl", "-o", "out.jsonl", "--fields", "instruction,output")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    before = [json.loads(line) for line in rows(20).splitlines()]
    after = [json.loads(line) for line in (folder / "out.jsonl").read_bytes().split(b"\n")[:-1]]
    for old, new in zip(before, after, strict=True):
        assert new == {**old, "instruction": expected(old["instruction"]), "output": expected(old["output"])}
    assert not (folder / "out.jsonl.partial").exists()


def test_killed_and_run_again_nothing_is_asked_twice(folder: Path) -> None:
    content = rows(1000)
    (folder / "rows.jsonl").write_bytes(content)
    arguments = ("rows.jsonl", "-o", "out.jsonl", "--fields", "instruction,output")
    for _ in range(2):
        killed = translate(folder, *arguments, kill_at=2)
        assert killed.returncode == -signal.SIGKILL
        assert not (folder / "out.jsonl").exists()
    asked_before = (folder / "log").read_text().splitlines()
    done = translate(folder, *arguments)
    assert done.returncode == 0, done.stderr
    asked = (folder / "log").read_text().splitlines()
    assert len(asked) == len(set(asked)) > len(asked_before) > 0
    uninterrupted = translate(folder, "-", "--format", "jsonl", "--fields", "instruction,output", stdin=content)
    assert uninterrupted.stdout == (folder / "out.jsonl").read_bytes()
    assert (folder / "log").read_text().splitlines() == asked, "all of it was in the cache"


def test_a_closed_pipe_ends_it_quietly(folder: Path) -> None:
    (folder / "rows.jsonl").write_bytes(rows(3000))
    process = subprocess.Popen(
        command("rows.jsonl", "--fields", "instruction,output"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "LOG": str(folder / "log")},
    )
    assert process.stdout is not None and process.stderr is not None
    first = json.loads(process.stdout.readline())
    process.stdout.close()
    said = process.stderr.read().decode()
    assert process.wait(timeout=300) == 1
    process.stderr.close()
    assert first["instruction"] == expected("Say 0 words.")
    assert said == ""


def test_results_come_before_the_input_ends(folder: Path) -> None:
    """A line is answered while the pipe that it came from is still open."""
    process = subprocess.Popen(
        command("--lines"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "LOG": str(folder / "log")},
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("".join(f"The sea number {n}.\n" for n in range(3000)).encode())
    process.stdin.flush()
    assert process.stdout.readline().decode().strip() == expected("The sea number 0.")
    process.stdin.close()
    assert len(process.stdout.read().splitlines()) == 2999
    process.stdout.close()
    assert process.wait(timeout=300) == 0


FAILING = b'{"a": "The sea.", "b": "A bridge."}\n{"a": "The Klingon.", "b": "Rain."}\n{"a": "Bread."}\n'
TREATMENTS = {
    "empty": ["The sea.", "", "Bread."],
    "keep": ["The sea.", "The Klingon.", "Bread."],
    "drop": ["The sea.", "Bread."],
}


@pytest.mark.parametrize("failed", TREATMENTS)
def test_what_has_no_translation_is_treated_and_told(folder: Path, failed: str) -> None:
    options = ("--set", "translator.missing=Klingon", "--fields", "a,b", "--format", "jsonl", "--report", "r.json")
    done = translate(folder, *options, "--failed", failed, stdin=FAILING)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line)["a"] for line in done.stdout.splitlines()]
    asked = [text if text in ("", "The Klingon.") else expected(text) for text in TREATMENTS[failed]]
    assert found == asked
    assert b"en-de: 2 of 3 kept; lost: missing (1)" in done.stderr
    (pair,) = json.loads((folder / "r.json").read_text())["pairs"]
    assert pair["lost"][0]["samples"] == [
        {"id": "stdin:2", "source": "The Klingon.\n\nRain.", "target": f"…\n\n{expected('Rain.')}", "note": ""}
    ]


def test_failed_error_stops_and_leaves_no_output(folder: Path) -> None:
    (folder / "rows.jsonl").write_bytes(FAILING)
    options = ("--set", "translator.missing=Klingon", "--fields", "a,b", "--failed", "error")
    done = translate(folder, "rows.jsonl", "-o", "out.jsonl", *options)
    assert done.returncode == 1
    assert b"rows.jsonl:2 has no translation to be trusted: missing" in done.stderr and b"Traceback" not in done.stderr
    assert not (folder / "out.jsonl").exists()


def test_tmx_to_tmx_with_references_and_a_way_back(folder: Path) -> None:
    entries = [("The sea is deep.", "Das Meer ist tief."), ("A bridge is old.", "Eine Brücke ist alt.")]
    body = "".join(
        f'<tu><tuv xml:lang="en"><seg>{en}</seg></tuv><tuv xml:lang="de"><seg>{de}</seg></tuv></tu>\n'
        for en, de in entries
    )
    (folder / "m.tmx").write_text(f'<tmx version="1.4"><header/><body>{body}</body></tmx>')
    (folder / "memory.yaml").write_text("name: memory\nfiles: [m.tmx]\n")
    options = ("--references", "m.tmx", "--round-trip", "2", "--report", "r.md")
    done = translate(folder, "m.tmx", "-o", "out.tmx", "--translator", "memory.yaml", *options)
    assert done.returncode == 0, done.stderr
    assert list(read_units(folder / "out.tmx")) == list(read_units(folder / "m.tmx"))
    page = (folder / "r.md").read_text()
    for name in ("chrf++/en-de | 100.00 | 2", "bleu/en-de | 100.00 | 2", "round_trip_chrf/en-de | 100.00 | 2"):
        assert name in page
    assert "nrefs:1|case:mixed|eff:yes|nc:6|nw:2" in page


def test_references_are_found_by_name_and_gaps_are_told(folder: Path) -> None:
    source = [{"a": "The sea.", "b": "A bridge."}, {"a": "Rain.", "b": "Bread."}]
    # The fake translator's own words, in another order and under other names; one is missing, one too many.
    known = [{"y": expected("A bridge."), "x": expected("The sea.")}, {"x": expected("Rain."), "z": "?", "y": None}]
    for name, lines in (("en.jsonl", source), ("de.jsonl", known)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    fields = ("--fields", "a,b", "--references", "de.jsonl", "--reference-fields", "x,y", "--report", "r.json")
    done = translate(folder, "en.jsonl", "-o", "out.jsonl", *fields)
    assert done.returncode == 0, done.stderr
    (pair,) = json.loads((folder / "r.json").read_text())["pairs"]
    chrf, bleu = pair["scores"]
    assert chrf["value"] == pytest.approx(100) and chrf["n"] == bleu["n"] == 3
    assert pair["unreferenced"] == 1 and b"1 texts have no reference and are not scored" in done.stderr


def test_several_files_go_into_a_folder(folder: Path) -> None:
    (folder / "out").mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(f"The sea of {name}.")
    done = translate(folder, "a.txt", "b.txt", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in sorted((folder / "out").iterdir())] == ["a.txt", "b.txt"]
    assert (folder / "out" / "b.txt").read_text() == expected("The sea of b.txt.")


def test_several_files_stay_apart_on_stdout(folder: Path) -> None:
    """An input that does not end in a line break would make one row of its last and the next one's first."""
    contents = ('{"output": "The sea."}', "", '{"output": "A bridge."}\n', '{"output": "Rain."}', "\n")
    for number, content in enumerate(contents):
        (folder / f"{number}.jsonl").write_text(content)
    names = [f"{number}.jsonl" for number in range(len(contents))]
    rows = translate(folder, *names).stdout.decode().split("\n")
    said = [expected(text) for text in ("The sea.", "A bridge.", "Rain.")]
    assert [json.loads(row)["output"] for row in rows if row] == said and rows[3:] == ["", ""]
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(f"The {name}.")
    assert translate(folder, "a.txt", "b.txt").stdout.decode() == expected("The a.txt.") + expected("The b.txt.")
    lines = translate(folder, "a.txt", "b.txt", "--lines").stdout.decode()
    assert lines == expected("The a.txt.") + "\n" + expected("The b.txt.")


def test_pipes_are_files_too(folder: Path) -> None:
    for name in ("in", "out"):
        os.mkfifo(folder / name)
    shell = f"cat out & printf 'The sea.' > in & {shlex.join(command('in', '-o', 'out'))} 2> said; wait"
    environment = {**os.environ, "LOG": str(folder / "log")}
    done = subprocess.run(
        ["sh", "-c", shell], capture_output=True, cwd=folder, env=environment, timeout=300, check=False
    )
    assert done.stdout.decode() == expected("The sea."), (folder / "said").read_text()
    assert sorted(path.name for path in folder.iterdir() if path.is_fifo()) == ["in", "out"]


MISTAKES = [
    (("a.txt", "--from", "de"), "both languages are de"),
    (("a.txt", "--to", "klingon"), '"klingon" is not a known language tag'),
    (("a.txt", "--set", "translator.speaks=[en, fr]"), 'translator "watched" does not speak de'),
    (("a.txt", "--set", "translator.missin=x"), 'Did you mean "missing"?'),
    (("a.txt", "--translator", "m2m10"), 'Did you mean "m2m100"?'),
    (("a.txt", "--translator", "absent.yaml"), "absent.yaml cannot be read"),
    (("a.txt", "--translator", "wrong.yaml"), "wrong.yaml:2  translator.beam_size is"),
    (("absent.txt",), "absent.txt: no such file"),
    ((".",), ".: is a folder. Name the files in it"),
    (("a.txt", "--references", "."), ".: is a folder. Name the files in it (--references)"),
    (("a.txt", "--references", "rows.jsonl"), "ends in .jsonl holds jsonl, and the input a.txt is read as text"),
    (("a.txt", "--lines", "--references", "m.tmx"), "ends in .tmx holds tmx, and the input a.txt is read as text"),
    (("rows.jsonl", "--references", "a.txt"), "ends in .txt holds text, and the input rows.jsonl is read as jsonl"),
    (("a.txt", "-o", "a.txt"), "is the input itself"),
    (("a.txt", "-o", "none/a.txt"), "none: no such folder"),
    (("absent.txt", "-o", "a.txt"), "absent.txt: no such file"),
    (("The sea is deep. " * 20,), "no file has so long a name. Name a file; a text itself is read from stdin"),
    (("a.txt", "-o", "a" * 300), "cannot be written (File name too long). Choose another output"),
    (("a.txt", "-o", "short.txt", "--references", "short.txt"), "short.txt holds the references, and would be over"),
    (("a.txt", "--fields", "nonsense"), "--fields is for JSON lines, and a.txt is read as text. Remove it, or say"),
    (("m.tmx", "--fields", "seg"), "--fields is for JSON lines, and m.tmx is read as tmx"),
    (("a.txt", "--reference-fields", "zzz"), "--reference-fields is for --references, and there are none"),
    (("a.txt", "rows.jsonl", "-o", "b.txt"), "b.txt is not a folder"),
    (("m.tmx", "n.tmx"), "several TMX files make no TMX file on stdout"),
    (("a.txt", "--references", "absent"), "absent: no such file (--references)"),
    (("a.txt", "rows.jsonl", "--references", "a.txt"), "references go with one input"),
    (("a.txt", "--report", "r.html"), "expected a name that ends in .md or .json"),
    (("m.tmx", "--format", "tmx", "--lines"), "--lines is for text"),
    (("rows.jsonl", "--fields", "outptu"), "no object has a text under outptu. Fields in there: instruction, output"),
    (("rows.jsonl", "--fields", "instruction,input"), "no object has a text under input"),
    (("other.jsonl",), "no object has a text under instruction, input, output. Fields in there: prompt"),
    (("a.txt", "--lines", "--references", "short.txt"), "the references end at short.txt:1, and there is more"),
    (("short.txt", "--lines", "--references", "a.txt"), "there is a reference at a.txt:2, and nothing more"),
    (
        ("rows.jsonl", "--fields", "output", "--references", "other.jsonl", "--reference-fields", "a,b"),
        "1 fields and 2 reference",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES, ids=[sentence for _, sentence in MISTAKES])
def test_bad_input_is_a_sentence(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    """In this process, as a new one for each takes a second."""
    (folder / "a.txt").write_text("The sea.\nA bridge.\n")
    (folder / "short.txt").write_text("Das Meer.\n")
    (folder / "rows.jsonl").write_text('{"instruction": "a b", "output": "c d"}\n')
    (folder / "other.jsonl").write_text('{"prompt": "a b"}\n')
    (folder / "wrong.yaml").write_text("name: m2m100\nbeam_size: many\n")
    for name in ("m.tmx", "n.tmx"):
        (folder / name).write_text("<tmx/>")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LOG", str(folder / "log"))
    monkeypatch.setattr(sys, "argv", ["langxfer", *command(*arguments)[3:]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_a_sentence(folder: Path) -> None:
    (folder / "a.txt").write_text("The sea.")
    (folder / "out.txt.partial").mkdir()
    done = translate(folder, "a.txt", "-o", "out.txt")
    assert done.returncode == 1
    assert b"out.txt.partial: cannot write" in done.stderr and b"Traceback" not in done.stderr


# Speaks to German alone.
ONE_WAY = WATCHED.replace('"watched"', '"one_way"').replace(
    "texts = self", "texts = [None] * len(segments) if pair.target == 'en' else self"
)


def test_the_way_back_must_exist(folder: Path) -> None:
    (folder / "one_way.py").write_text(ONE_WAY)
    options = ("--translator", "one_way", "--plugin", "one_way.py", "--round-trip", "3")
    done = translate(folder, *options, stdin=b"The sea is deep.")
    assert done.returncode == 2
    assert b"quality.round_trip: none of 1 texts could be translated back from de to en" in done.stderr


def test_it_says_once_how_the_translator_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNING", "letters are turned by hand")
    (folder / "in.txt").write_text("The ship left.\nNobody saw it.\n")
    ran = translate(folder, "in.txt", "-o", "out.txt", "--round-trip", "1")
    assert ran.returncode == 0 and ran.stderr.decode().count("letters are turned by hand") == 1
    again = translate(folder, "in.txt", "-o", "out.txt", "--round-trip", "1")
    assert again.returncode == 0 and b"letters are turned" not in again.stderr  # all is in the cache
