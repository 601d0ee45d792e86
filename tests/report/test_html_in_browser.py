"""Pages in a real browser: wide and narrow, light and dark, with what a model may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from langxfer.report.finished import read_finished
from langxfer.report.html.writing import write_run_report
from tests.report.browser import CHROMIUM, opened, probed

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def page(hostile: Path) -> Path:
    path = hostile / "report.html"
    write_run_report(read_finished(hostile), path)
    return path


def brightness(screenshot: Path) -> float:
    from PIL import Image, ImageStat

    with Image.open(screenshot) as image:
        return ImageStat.Stat(image.convert("L")).median[0]


def test_its_own_script_runs_and_no_other(page, tmp_path):
    found = opened(page, 1280, tmp_path / "wide.png")
    assert found.complaints == ()
    assert "taken over" not in found.dom[: found.dom.index("</head>")]
    assert '<div class="search">' in found.dom
    count = found.dom.count('<article class="exchange"')
    assert f"<output>{count} of {count} shown</output>" in found.dom
    assert brightness(tmp_path / "wide.png") > 230


def test_a_script_that_slipped_in_would_not_run(page, tmp_path):
    slipped = tmp_path / "slipped.html"
    text = page.read_text(encoding="utf-8")
    slipped.write_text(text.replace("<footer>", "<script>document.title='taken over'</script><footer>"))
    found = opened(slipped, 1280, tmp_path / "slipped.png")
    assert "<title>taken over" not in found.dom
    assert any("Content Security Policy" in line for line in found.complaints)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (375, True)])
def test_it_fits_the_window_and_has_the_colours_of_the_reader(page, tmp_path, width, dark):
    found = opened(probed(page, width, tmp_path), width, tmp_path / "seen.png", dark=dark)
    probe = found.probe
    assert found.complaints == ()
    assert probe["inner"] == width
    assert probe["scroll"] <= width and probe["wide"] == []
    assert probe["arabic"] == ["rtl"]
    assert probe["back"] == ("rgb(13, 17, 23)" if dark else "rgb(246, 248, 250)")
    assert probe["ink"] == ("rgb(230, 237, 243)" if dark else "rgb(31, 35, 40)")
    assert (brightness(tmp_path / "seen.png") < 60) == dark
