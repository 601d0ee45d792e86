"""Opens pages in headless Chromium, where it is installed."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--enable-logging=stderr", "--disable-dev-shm-usage"),
)
# A page's own policy lets no script in but its own: the probe is put into a copy without the policy.
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
PROBE = """<script>
addEventListener("load", () => {
  const wide = [...document.querySelectorAll("body *")].filter((element) =>
    element.closest(".scroll, pre, svg") === null && element.getBoundingClientRect().right > innerWidth + 0.5);
  parent.postMessage(JSON.stringify({
    inner: innerWidth, scroll: document.documentElement.scrollWidth,
    wide: wide.map((element) => element.outerHTML.slice(0, 200)),
    back: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.querySelector("figure svg text")).fill,
    arabic: [...document.querySelectorAll('.text[lang="ar"]')].map((text) => getComputedStyle(text).direction),
  }), "*");
});
</script></body>"""
# A window is 500 pixels wide or more; a frame may be as narrow as a phone.
FRAME = """<!DOCTYPE html><html><head><title>frame</title><style>
:root {{ color-scheme: light dark }} body {{ margin: 0 }}
iframe {{ border: 0; width: {width}px; height: 1600px }}</style></head><body><script>
addEventListener("message", (event) => {{
  const said = document.createElement("pre");
  said.id = "probe";
  said.textContent = event.data;
  document.body.append(said);
}});
</script><iframe src="{page}"></iframe></body></html>"""


@dataclass(frozen=True)
class Opened:
    """A page as the browser has it after its scripts; ``complaints`` are the lines of its console."""

    dom: str
    complaints: tuple[str, ...]

    @property
    def probe(self) -> dict[str, Any]:
        """What the probe measured."""
        found = re.search(r'<pre id="probe">(.*?)</pre>', self.dom, re.DOTALL)
        assert found is not None, self.complaints
        return json.loads(html.unescape(found[1]))


def probed(page: Path, width: int, folder: Path) -> Path:
    """A page with a frame of this width, in which a copy of ``page`` measures itself."""
    text, count = POLICY.subn("", page.read_text(encoding="utf-8"))
    assert count == 1
    (folder / "copy.html").write_text(text.replace("</body>", PROBE), encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.format(width=width, page="copy.html"), encoding="utf-8")
    return folder / "frame.html"


def opened(page: Path, width: int, screenshot: Path, *, dark: bool = False) -> Opened:
    """Open a page in a window of this width."""
    assert CHROMIUM is not None
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [
                *(CHROMIUM, *QUIET, scheme, f"--user-data-dir={profile}", f"--window-size={width},1600"),
                *(f"--screenshot={screenshot}", "--dump-dom", page.as_uri()),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
    complaints = tuple(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return Opened(done.stdout, complaints)
