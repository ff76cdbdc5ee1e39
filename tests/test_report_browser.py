"""The report in a real headless Chromium, opened from file:// as a reader does."""

import os
import re
import time
from pathlib import Path

import pytest
from kept_run import HOSTILE, METHODS, failed, line, make_run

from rescale_bench.api.registry import load_registry
from rescale_bench.report import View, build_report, draw_charts, read_source
from rescale_bench.runs.folder import read_table

CHROMIUM = Path(os.environ.get("RESCALE_BENCH_CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def _absent(reason):
    if os.environ.get("RESCALE_BENCH_FORBID_SKIPS"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        _absent(f"there is no {CHROMIUM}: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _absent("playwright is not installed: pip install playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page with plots, two protocols, random weights, a failed cell, and pictures of an image with a hostile name."""
    folder = tmp_path_factory.mktemp("browser")
    extra = [
        line(90, "random-net", "two", "2", weights="random"),
        failed(line(91, "nearest", "three", "3"), "broke " * 60),
        *(line(92 + index, name, "two", "2", protocol="srcnn-y") for index, name in enumerate(METHODS)),
    ]
    run = make_run(folder / "run", images=("two", HOSTILE[0]), scales=("2", "3"), extra=extra)
    source = read_source(run, read_table(run))
    text = build_report(
        source, load_registry(()), View(command="rescale-bench report"), draw_charts(source, "bicubic")[0]
    )
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def until(page, script):
    """Wait until an expression is true; playwright's own wait needs eval, which the page's policy forbids."""
    ends = time.monotonic() + 60
    while not page.evaluate(script):
        assert time.monotonic() < ends, f"never true: {script}"
        page.wait_for_timeout(20)


@pytest.fixture
def visit(browser, report):
    """Open the page; whatever the console says or the page fetches fails the test."""
    contexts, said = [], []

    def open_page(**options):
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on(
            "request", lambda request: None if request.url.startswith(("data:", "file:")) else said.append(request.url)
        )
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def column(page, name, table=0):
    """Read one column of a table as shown, top to bottom."""
    board = page.locator("table.board").nth(table)
    titles = [text.split("\n")[0].split(",")[0].strip() for text in board.locator("thead th").all_inner_texts()]
    index = next(place for place, title in enumerate(titles) if title.startswith(name))
    cells = [row.locator("> *").nth(index) for row in board.locator("tbody tr:visible").all()]
    return [cell.inner_text().rstrip("‡") for cell in cells]


def heading(page, name):
    return page.locator("table.board").first.locator("thead th").filter(has_text=name).first


def test_sorting(visit):
    page = visit()
    before = column(page, "psnr_y")
    head = heading(page, "psnr_y")
    assert head.get_attribute("aria-sort") == "none"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    numbers = [float(text) for text in column(page, "psnr_y") if text != "–"]
    assert numbers == sorted(numbers, reverse=True)
    assert column(page, "psnr_y")[-1] == "–"  # random-net has no image at ×3
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(text) for text in column(page, "psnr_y") if text != "–"] == sorted(numbers)
    assert column(page, "psnr_y")[-1] == "–"
    heading(page, "method").locator("button").click()
    assert head.get_attribute("aria-sort") == "none"
    assert column(page, "method") == sorted(column(page, "method"))
    for _ in range(2):
        heading(page, "method").locator("button").click()
    assert column(page, "psnr_y") == before


def test_lower_is_better_sorts_up_first(visit):
    page = visit()
    heading(page, "piqe_lr").locator("button").click()
    numbers = [float(text) for text in column(page, "piqe_lr") if text != "–"]
    assert numbers == sorted(numbers)


def test_filtering(visit):
    page = visit()
    count = page.locator("#filter-count")
    assert count.inner_text() == "11 rows"
    page.locator("#filter-method").fill("BIC")
    assert column(page, "method") == ["bicubic", "bicubic"]
    page.locator("#filter-scale").select_option("3")
    assert column(page, "scale") == ["×3"]
    assert count.inner_text() == "1 of 11 rows"
    page.locator("#filter-method").fill("nobody")
    assert count.inner_text() == "0 of 11 rows"
    page.locator("#filter-method").press("Enter")  # a form that sent itself would load the page anew
    assert page.locator("#filter-method").input_value() == "nobody"


def test_protocols_are_tables_of_their_own(visit):
    page = visit()
    assert page.locator("section.group > h3").all_inner_texts() == [
        "Protocol rgb8 version 1",
        "Protocol srcnn-y version 1",
    ]
    heading(page, "psnr_y").locator("button").click()
    assert len(column(page, "method", table=1)) == 3


def test_the_ranks_sort_fold_and_stay_out_of_the_filter(visit):
    page = visit()
    ranks = page.locator("details.ranks")
    assert (
        ranks.locator("summary .about").all_inner_texts()[0].startswith("protocol rgb8 version 1 · not separable on 2")
    )
    head = ranks.first.locator("thead th").filter(has_text="psnr_y")
    head.locator("button").click()
    cells = ranks.first.locator("tbody tr td:nth-child(4)").all_inner_texts()
    assert cells == sorted(cells, key=float, reverse=True)
    page.locator("#filter-method").fill("BIC")
    assert ranks.first.locator("tbody tr:visible").count() == 6
    summary = ranks.first.locator("summary")
    summary.press("Enter")
    assert not ranks.first.locator("table").is_visible()


def test_the_slider_by_keyboard(visit):
    page = visit()
    slider = page.locator(".stage input").first
    slider.focus()
    share = "() => getComputedStyle(document.querySelector('.stage .over')).clipPath"
    start = page.evaluate(share)
    for _ in range(10):
        slider.press("ArrowRight")
    assert slider.input_value() == "60"
    assert slider.get_attribute("aria-valuetext") == "60 % bicubic"
    assert page.evaluate(share) != start
    assert "bicubic on the left and HR on the right" in slider.get_attribute("aria-label")
    assert page.evaluate("getComputedStyle(document.querySelector('.stage')).outlineStyle") == "solid"
    slider.press("Home")
    assert slider.input_value() == "0"


def test_choosing_and_swapping_pictures(visit):
    page = visit()
    viewer = page.locator(".viewer").first
    assert viewer.locator("select").first.locator("option").all_inner_texts() == ["×2", "×3"]
    viewer.locator(".right select").select_option(label="LR of nearest")
    names = viewer.locator(".compare figcaption b")
    assert names.all_inner_texts() == ["bicubic", "LR of nearest"]
    viewer.get_by_role("button", name="Swap").click()
    assert names.all_inner_texts() == ["LR of nearest", "bicubic"]
    viewer.locator(".setting select").select_option(label="×2")
    assert names.all_inner_texts() == ["LR of nearest", "bicubic"]  # the choice stays
    viewer.get_by_label("whole image").check()
    until(page, "document.querySelector('.stage .over').naturalWidth === 160")
    assert viewer.locator(".difference:visible").count() == 0


def test_the_difference_map_is_eight_times_the_difference(visit):
    page = visit()
    viewer = page.locator(".viewer").first
    viewer.locator(".setting select").select_option(label="×2")
    viewer.locator(".left select").select_option(label="lanczos3")
    until(page, "document.querySelector('.difference.of-left b').textContent.includes('lanczos3')")
    # kept_run adds 2 to repeated pixels: where LR and HR pixels coincide the difference is 2, drawn as 16.
    measured = page.evaluate("""async () => {
      const canvas = document.querySelector('.difference.of-left canvas');
      const map = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      const data = JSON.parse(document.querySelector('.album[open] script').textContent);
      const of = async (name) => {
        const image = new Image();
        image.src = data.blobs[data.settings[0].pictures.find((one) => one.name === name).crop];
        await image.decode();
        const own = new OffscreenCanvas(96, 96).getContext('2d');
        own.drawImage(image, 0, 0);
        return own.getImageData(0, 0, 96, 96).data;
      };
      const [hr, sr] = [await of('HR'), await of('lanczos3')];
      let wrong = 0, exact = 0;
      for (let i = 0; i < map.length; i += 1) {
        if (i % 4 === 3) continue;
        if (map[i] !== Math.min(255, 8 * Math.abs(hr[i] - sr[i]))) wrong += 1;
        if (map[i] === 16) exact += 1;
      }
      return [canvas.width, wrong, exact];
    }""")
    width, wrong, exact = measured
    assert (width, wrong) == (96, 0)
    assert exact > 500
    assert "× 8" in viewer.locator(".difference.of-left b").inner_text()
    assert "amplified 8 times" in viewer.locator(".difference.of-left canvas").get_attribute("aria-label")
    shown = viewer.locator(".stage").bounding_box()
    assert (shown["width"], shown["height"]) == (288, 288)  # 3 screen pixels per pixel


def test_pictures_are_made_when_an_image_is_opened(visit):
    page = visit()
    assert page.locator(".viewer").count() == 1
    page.locator(".album > summary").nth(1).press("Enter")
    until(page, "document.querySelectorAll('.viewer').length === 2")


def test_hostile_names_stay_text(visit):
    page = visit()
    page.locator(".album > summary").nth(0).wait_for()
    assert HOSTILE[0] in page.locator(".album .name").all_inner_texts()
    for summary in page.locator(".album:not([open]) > summary").all():
        summary.click()
    until(page, "document.querySelectorAll('.viewer').length === 2")
    assert page.locator("img[src=x]").count() == 0
    assert page.title() == "run · rescale-bench report"
    assert page.locator(".stage img").last.get_attribute("alt") == "two, ×3, bicubic, worst crop"


def test_dark_and_light(visit):
    colours = {}
    for scheme in ("light", "dark"):
        style = visit(color_scheme=scheme).evaluate("(({ backgroundColor, color }) => [backgroundColor, color])"
                                                    "(getComputedStyle(document.documentElement))")  # fmt: skip
        colours[scheme] = [sum(map(int, re.findall(r"\d+", text))) / 3 for text in style]
    ground, ink = colours["light"]
    assert (ground > 230, ink < 60) == (True, True)
    ground, ink = colours["dark"]
    assert (ground < 50, ink > 200) == (True, True)


CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (text) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (text) => [...rgb(text)].slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (rgb(colour)[3] === 255) return colour;
    }
  };
  const low = [];
  for (const one of document.querySelectorAll('body *:not(svg *, script, style, template, option)')) {
    const speaks = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!speaks || !one.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(`${one.tagName}.${one.className} ${(a + 0.05) / (b + 0.05)}`);
  }
  return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_enough(visit, scheme):
    assert visit(color_scheme=scheme).evaluate(CONTRAST) == []


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_never_scrolls_sideways(visit, width):
    page = visit(viewport={**PHONE, "width": width}, is_mobile=True, has_touch=True)
    page.wait_for_selector(".stage")
    for view in ("worst crop", "whole image"):
        page.get_by_label(view).first.check()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    table = page.locator(".scroll").first
    assert table.evaluate("(one) => one.scrollWidth > one.clientWidth")  # the table scrolls in its own container


def test_everything_is_reached_and_named(visit):
    page = visit()
    # The difference maps get their names when they are drawn.
    until(page, "[...document.querySelectorAll('.difference canvas')].every((one) => one.ariaLabel)")
    unnamed = page.evaluate("""() => [...document.querySelectorAll('input, select, button, [tabindex="0"], [role=img]')]
      .filter((one) => one.checkVisibility())
      .filter((one) => !(one.labels && one.labels.length) && !one.ariaLabel && !one.textContent.trim()
        && !one.getAttribute('aria-labelledby'))
      .map((one) => one.outerHTML.slice(0, 80))""")
    assert [text for text in unnamed if not text.startswith("<pre")] == []
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4, h5')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_print_and_reduced_motion(visit):
    page = visit(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    page.emulate_media(media="print")
    assert not page.locator(".filters").first.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"


def test_without_scripts_the_numbers_stand(visit):
    page = visit(java_script_enabled=False)
    assert "30.25" in page.locator("table.board").first.inner_text()
    assert page.locator(".album summary").first.is_visible()
    assert page.locator("noscript").count() == 1


def test_many_images_can_be_searched_and_carry_less(browser, tmp_path):
    run = make_run(tmp_path / "run", [f"image{index:02}" for index in range(13)], scales=("2",), methods=("bicubic",))
    text = build_report(read_source(run, read_table(run)), load_registry(()), View(budget=400_000))
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator("#image-count").inner_text() == "13 of 13 images"
    assert page.locator(".viewer").count() == 1
    assert not page.locator(".viewer .view").is_visible()  # whole images did not fit into the page
    assert not page.locator(".viewer .setting").is_visible()  # one scale is no choice
    page.locator("#filter-image").fill("E1")
    assert page.locator(".album:visible .name").all_inner_texts() == ["image10", "image11", "image12"]
    assert page.locator("#image-count").inner_text() == "3 of 13 images"
    page.close()
