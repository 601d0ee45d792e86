"""Charts, drawn by matplotlib: as SVG for a page, which gives them its colours, and as SVG and PNG files.

The same values give the same bytes. matplotlib's settings are those of this file while a chart is drawn, and its
interactive part (pyplot) is never loaded.
"""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Of files. In a page the CSS variables --chart-0, …, --ink, --grid and --surface stand in their place.
COLOURS = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#0e7490", "#9a6700", "#57606a")
INK, GRID, SURFACE = "#1f2328", "#d1d9e0", "#ffffff"
VARIABLES = {
    **{colour: f"chart-{number}" for number, colour in enumerate(COLOURS)},
    **{INK: "ink", GRID: "grid", SURFACE: "surface"},
}
DASHES = ("-", "--", "-.", ":")  # so that colour is not all that tells lines apart
WIDTH, PLOT_HEIGHT = 4.8, 2.1  # inches: as wide as a phone, so that letters are not made smaller there
TOP, LEGEND_ROW, LEGEND_LINE, BOTTOM, BAR = 0.38, 0.2, 0.142, 0.45, 0.17
LEGEND_WIDTH, LEGEND_LINES = 54, 3  # characters of a name in a line, and lines
SETTINGS = {
    "svg.hashsalt": "langxfer",
    "svg.fonttype": "none",  # letters stay letters, in the page's font
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Series:
    """Values to be drawn as a line, or as one bar for each of ``x``.

    Attributes:
        x: numbers, or in a bar chart the names of the bars.
        y: values; None for one that is missing.
        low, high: ends of an interval around each value, drawn as a band or as error bars.
        marked: a marker at each value of a line, for values that are few.
        of: the name of the line that this one belongs to, whose colour it has.
    """

    name: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    marked: bool = False
    of: str = ""


@dataclass(frozen=True)
class Figure:
    """A chart that was drawn; ``description`` says in words what it shows."""

    title: str
    description: str
    svg: str
    png: bytes

    def inline(self, prefix: str) -> str:
        """SVG for a page, with the page's colours; ``prefix`` makes its ids unique there."""
        from markupsafe import escape

        body = self.svg[self.svg.index("<svg") :]
        body = re.sub(r'\bid="', f'id="{prefix}-', body)
        body = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", body)
        body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)  # it is for all of the page
        for colour, variable in VARIABLES.items():
            body = body.replace(colour, f"var(--{variable})")
        box = re.search(r'viewBox="[^"]*"', body)
        assert box is not None  # matplotlib writes one
        title = f'<title id="{prefix}-title">{escape(self.title)}</title>'
        about = f'<desc id="{prefix}-desc">{escape(self.description)}</desc>'
        labels = f'role="img" aria-labelledby="{prefix}-title {prefix}-desc"'
        return f"<svg {box[0]} {labels}>{title}{about}{body[body.index('>') + 1 :]}"

    def save(self, folder: Path, name: str) -> None:
        """Write ``name.svg`` and ``name.png``."""
        (folder / f"{name}.svg").write_text(self.svg, encoding="utf-8")
        (folder / f"{name}.png").write_bytes(self.png)


def line_chart(series: Sequence[Series], *, title: str, x: str, y: str, log_x: bool = False) -> Figure:
    """Lines with bands; ``x`` and ``y`` name the axes. Without ``y`` the title names it."""
    with _drawing():
        styles = list(_styles(series))
        canvas, axes = _canvas(title, PLOT_HEIGHT, series, styles, left=0.74 if y else 0.62)
        for own, style in zip(series, styles, strict=True):
            values = [float("nan") if value is None else value for value in own.y]
            colour = style["color"]
            axes.plot(own.x, values, **style, linewidth=1.4, markersize=3.5)
            if own.low is not None and own.high is not None:
                ends = [[float("nan") if value is None else value for value in side] for side in (own.low, own.high)]
                axes.fill_between(own.x, *ends, color=colour, alpha=0.18, linewidth=0)
        if log_x:
            _log_axis(axes, sorted({float(value) for own in series for value in own.x}))
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        return _drawn(canvas, title, f"Line chart of {y or title} over {x}. " + " ".join(map(_line_in_words, series)))


def bar_chart(series: Sequence[Series], *, title: str, x: str) -> Figure:
    """Horizontal bars below each other, grouped by their names, with error bars; ``x`` names the axis of values."""
    names = list(dict.fromkeys(str(name) for own in series for name in own.x))
    rows = len(names) * (len(series) + 1.4)
    with _drawing():
        colours = [colour for _, colour in zip(series, cycle(COLOURS), strict=False)]
        canvas, axes = _canvas(title, BAR * rows, series, [{"color": colour} for colour in colours], left=0.12)
        for number, (own, colour) in enumerate(zip(series, colours, strict=True)):
            _bars(axes, own, [names.index(str(name)) * (len(series) + 1.4) + number + 1.1 for name in own.x], colour)
        for number, name in enumerate(names):
            place = (0, number * (len(series) + 1.4) + 0.25)
            axes.text(*place, name, transform=axes.get_yaxis_transform(), va="center", color=INK, fontsize=8.5)
        axes.set_ylim(rows, -0.4)
        axes.yaxis.set_visible(False)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_xlabel(x)
        return _drawn(canvas, title, f"Bar chart of {x}. " + " ".join(map(_bars_in_words, series)))


def left_out(**shown: tuple[int, int]) -> str:
    """A sentence on what charts leave out, from how many of what they can show, and how many there are; or nothing."""
    parts = [f"{most} of {there:,} {what}" for what, (most, there) in shown.items() if there > most]
    return f"Charts show the first {' and '.join(parts)}; the tables have all." if parts else ""


def _styles(series: Sequence[Series]) -> Iterator[dict[str, Any]]:
    """Colour, dash and marker of each line; one that belongs to another has its colour, and dots of its own."""
    free, found = zip(cycle(COLOURS), cycle(DASHES), strict=False), {}
    for own in series:
        belongs = own.of in found
        colour, dash = found[own.of] if belongs else next(free)
        found[own.name] = (colour, dash)
        line = "none" if len(own.y) == 1 and own.marked else ":" if belongs else dash
        yield {"color": colour, "linestyle": line, "marker": "o" if own.marked else ""}


def _bars(axes: Axes, own: Series, places: Sequence[float], colour: str) -> None:
    for at, (place, value) in enumerate(zip(places, own.y, strict=True)):
        if value is None:
            continue
        axes.barh(place, value, height=0.86, color=colour, linewidth=0)
        ends = [side[at] for side in (own.low, own.high) if side is not None and side[at] is not None]
        if len(ends) == 2:
            axes.plot(ends, [place, place], color=INK, linewidth=1.1, marker="|", markersize=5)


def _log_axis(axes: Axes, values: Sequence[float]) -> None:
    """Ticks at the values themselves."""
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()


@contextmanager
def _drawing() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font"
        )  # in the PNG a box, in the SVG the letter
        yield


def _canvas(
    title: str, plot: float, series: Sequence[Series], styles: Sequence[dict[str, Any]], left: float
) -> tuple[Canvas, Axes]:
    """Title, legend and plot above each other, each as high as it needs to be; ``left`` is the room beside the plot."""
    from matplotlib.figure import Figure as Canvas

    names = [_wrapped(own.name) for own in series]
    columns = 1 if max(map(len, names), default=0) > 24 else 2
    more = LEGEND_LINE * sum(name.count("\n") for name in names)
    legend = LEGEND_ROW * -(-len(series) // columns) + more if len(series) > 1 else 0
    height = TOP + legend + plot + BOTTOM
    canvas = Canvas((WIDTH, height), facecolor=SURFACE)
    axes = canvas.add_axes((left / WIDTH, BOTTOM / height, (WIDTH - left - 0.16) / WIDTH, plot / height))
    axes.set_facecolor("none")
    axes.grid(axis="both", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.locator_params(nbins=6)
    axes.tick_params(color=GRID, labelcolor=INK, labelsize=8)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    canvas.text(0.1 / WIDTH, 1 - 0.2 / height, title, color=INK, fontsize=10.5, fontweight="bold", va="center")
    if legend:
        _legend(canvas, names, styles, (0.1 / WIDTH, 1 - TOP / height), columns)
    return canvas, axes


def _wrapped(name: str) -> str:
    """A name in lines; of one that is very long the middle is left out, as names differ at their ends."""
    most = LEGEND_WIDTH * LEGEND_LINES - 2 * LEGEND_LINES
    if len(name) > most:
        name = f"{name[: most // 2 - 2]} … {name[-(most // 2 - 1) :]}"
    lines = textwrap.wrap(name, LEGEND_WIDTH, break_on_hyphens=False)
    return "\n".join(lines)


def _legend(
    canvas: Canvas,
    names: Sequence[str],
    styles: Sequence[dict[str, Any]],
    place: tuple[float, float],
    columns: int,
) -> None:
    from matplotlib.lines import Line2D

    canvas.legend(
        *([Line2D([], [], **style, linewidth=2, markersize=4) for style in styles], names),
        **{"loc": "upper left", "bbox_to_anchor": place, "ncols": columns, "frameon": False, "fontsize": 8.5},
        **{"labelcolor": INK, "borderaxespad": 0, "borderpad": 0, "labelspacing": 0.35, "handlelength": 2.2},
    )


def _drawn(canvas: Canvas, title: str, description: str) -> Figure:
    text, png = io.StringIO(), io.BytesIO()
    nothing: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    canvas.savefig(text, format="svg", metadata=nothing)
    canvas.savefig(png, format="png", dpi=160, metadata={"Software": None})
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", text.getvalue(), flags=re.DOTALL)
    return Figure(title, description.strip(), svg, png.getvalue())


def _line_in_words(own: Series) -> str:
    found = [(x, y) for x, y in zip(own.x, own.y, strict=True) if y is not None]
    if not found:
        return f"{own.name}: no values."
    (first, start), (last, end) = found[0], found[-1]
    return f"{own.name}: {start:.4g} at {first:g}, {end:.4g} at {last:g}."  # type: ignore[str-format]


def _bars_in_words(own: Series) -> str:
    values = ", ".join(f"{name} {value:.4g}" for name, value in zip(own.x, own.y, strict=True) if value is not None)
    return f"{own.name}: {values or 'no values'}."
