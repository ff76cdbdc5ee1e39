"""A site of 300 methods on 5 data sets: seconds to build it, bytes, and seconds until a reader can use a page.

    python benchmarks/site.py [METHODS]

The pages are opened from the disk in headless Chromium (RESCALE_BENCH_CHROMIUM, or /usr/bin/chromium).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from playwright.sync_api import sync_playwright
from site_rows import rows, write

from rescale_bench.cli import main

CHROMIUM = os.environ.get("RESCALE_BENCH_CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu"]


def measure(methods: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = ("bicubic", *(f"method{number:03}" for number in range(methods - 1)))
        write(folder / "run.csv", rows(names, sets=("a", "b", "c", "d", "e"), images=5, scales=("2", "4")))
        started = time.perf_counter()
        main(["site", str(folder / "run.csv"), "-o", str(folder / "site")])
        size = sum(path.stat().st_size for path in (folder / "site").rglob("*") if path.is_file())
        print(f"build: {time.perf_counter() - started:.1f} s, {size / 1e6:.0f} MB")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            browser.new_page().goto("about:blank")
            for page in ("index.html", "index.html#set=c", "compare.html", "methods.html", "dataset-a.html"):
                print(f"{page}: {min(usable(browser, folder / 'site', page) for _ in range(3)):.2f} s until it answers")
            browser.close()


def usable(browser, site: Path, name: str) -> float:
    """Seconds from the request until the page's script has run, and a search or a click has been answered."""
    page = browser.new_page()
    started = time.perf_counter()
    file, _, address = name.partition("#")
    page.goto((site / file).as_uri() + (f"#{address}" if address else ""))
    if page.locator("#method, #find").count():
        page.locator("#count", has_text="00").wait_for()
        page.locator("#method, #find").fill("method05")
        page.locator("#count", has_text="of").wait_for()
    else:
        page.locator("table.board tbody tr").first.wait_for()
        page.locator("table.board thead button").nth(1).click()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    seconds = time.perf_counter() - started
    page.close()
    return seconds


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
