"""Charts: the same values give the same bytes, and a page and a file what each of them needs."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from langxfer.report.figures import COLOURS, INK, VARIABLES, Figure, Series, bar_chart, left_out, line_chart
from langxfer.report.html.methods_page import METHODS
from langxfer.report.html.sweep_page import LINES as LINES_OF_A_SWEEP

LINES = [
    Series("clo", [200, 400, 800], [1.0, 2.0, 3.5], [0.5, 1.5, 3.0], [1.5, 2.5, 4.0], marked=True),
    Series("sft", [200, 400, 800], [1.0, None, 2.0]),
]
BARS = [
    Series("before", ["en", "de"], [50.0, None], [40.0, None], [60.0, None]),
    Series("after", ["en", "de"], [55.0, 70.0], [45.0, 60.0], [65.0, 80.0]),
]


def lines(**options: object) -> Figure:
    return line_chart(LINES, title="A & B <c> $d$", x="data.limit", y="%", **options)


@pytest.mark.parametrize("draw", [lines, lambda: bar_chart(BARS, title="fidelity", x="%")], ids=["lines", "bars"])
def test_the_same_values_give_the_same_bytes(draw):
    first, second = draw(), draw()
    assert first.svg == second.svg and first.png == second.png
    assert not re.search(r"\d{4}-\d\d-\d\d|<metadata", first.svg)


def test_names_are_text_in_the_file_and_in_the_page():
    drawn = lines()
    texts = [element.text for element in ElementTree.fromstring(drawn.svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"A & B <c> $d$", "clo", "sft", "data.limit", "%"} <= set(texts)
    assert "A &amp; B &lt;c&gt; $d$</title>" in drawn.inline("x")
    assert drawn.description == ("Line chart of % over data.limit. clo: 1 at 200, 3.5 at 800. sft: 1 at 200, 2 at 800.")


def test_a_page_gives_its_colours_and_two_charts_share_no_id():
    one, other = lines().inline("one"), lines().inline("other")
    assert not [colour for colour in VARIABLES if colour in one]
    assert "var(--chart-0)" in one and "var(--ink)" in one and "<style" not in one and "http" not in one
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, other)]
    assert ids[0] and not ids[0] & ids[1]
    for text, own in zip((one, other), ids, strict=True):
        assert {*re.findall(r"url\(#([^)]+)\)", text), *re.findall(r'href="#([^"]+)"', text)} <= own
    assert COLOURS[0] in lines().svg and INK in lines().svg  # files have colours of their own


def test_files_are_an_image_and_a_drawing(tmp_path):
    from PIL import Image

    lines().save(tmp_path, "chart")
    with Image.open(tmp_path / "chart.png") as image:
        assert image.size[0] > 700
        assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
    assert ElementTree.parse(tmp_path / "chart.svg").getroot().tag.endswith("svg")


def test_a_logarithmic_axis_has_its_ticks_at_the_values():
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", lines(log_x=True).svg)
    assert {"200", "400", "800"} <= set(texts)


def test_bars_are_as_long_as_their_values_and_intervals_are_where_they_belong():
    svg = ElementTree.fromstring(bar_chart([BARS[1]], title="t", x="%").svg)
    drawn: list[float] = []
    for path in svg.iter("{http://www.w3.org/2000/svg}path"):
        style, place = path.get("style", ""), path.get("d", "")
        if f"fill: {COLOURS[0]}" in style:
            xs = [float(x) for x in re.findall(r"[ML] ([-\d.]+) ", place)]
            drawn.append(max(xs) - min(xs))
    assert len(drawn) == 2 and math.isclose(drawn[1] / drawn[0], 70 / 55, rel_tol=1e-4)


def test_as_many_methods_as_a_chart_has_are_told_apart_by_colour() -> None:
    assert len(set(COLOURS)) == len(COLOURS) == LINES_OF_A_SWEEP == METHODS
    svg = bar_chart([Series(str(n), ["de"], [1.0]) for n in range(METHODS)], title="t", x="%").svg
    assert all(svg.count(colour) == svg.count(COLOURS[0]) for colour in COLOURS)


def test_a_line_that_belongs_to_another_has_its_colour() -> None:
    series = [Series("loss", [1, 2], [2.0, 1.0]), Series("nll", [1, 2], [2.0, 1.0])]
    series.append(Series("validation loss", [2], [1.5], marked=True, of="loss"))
    svg = line_chart(series, title="t", x="step", y="").svg
    assert COLOURS[1] in svg and COLOURS[2] not in svg
    alone = line_chart([*series[:2], Series("validation loss", [2], [1.5], marked=True)], title="t", x="step", y="").svg
    assert COLOURS[2] in alone


def test_long_names_are_told_apart_and_stay_in_the_picture() -> None:
    start = "phases[0].objective=clo, phases[0].selector=attention, data.limit="
    names = [f"{start}400", f"{start}800", f"{'x' * 400}1", f"{'x' * 400}2"]
    svg = bar_chart([Series(name, ["de"], [1.0]) for name in names], title="t", x="%").svg
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"data.limit=400", "data.limit=800"} <= {text[-14:] for text in texts}
    assert max(map(len, texts)) <= 54 and sum(text.endswith("x1") or text.endswith("x2") for text in texts) == 2


def test_what_is_in_no_chart_is_said() -> None:
    assert left_out(methods=(8, 8), columns=(8, 3)) == ""
    assert left_out(methods=(8, 1100), columns=(8, 9)) == (
        "Charts show the first 8 of 1,100 methods and 8 of 9 columns; the tables have all."
    )


def test_nothing_of_matplotlib_is_changed_for_others():
    program = (
        "import sys, matplotlib\nnames = [name for name in matplotlib.rcParams if name != 'backend']\n"
        "before = [matplotlib.rcParams[name] for name in names]\n"
        "from langxfer.report.figures import Series, line_chart\n"
        "line_chart([Series('a', [1, 2], [1.0, 2.0])], title='日本', x='x', y='y')\n"
        "assert before == [matplotlib.rcParams[name] for name in names]\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_png_is_a_png():
    assert io.BytesIO(lines().png).read(8) == b"\x89PNG\r\n\x1a\n"
