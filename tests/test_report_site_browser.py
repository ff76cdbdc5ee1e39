"""The site in a real headless Chromium, opened from file:// as a reader does."""

import io

import numpy as np
import pytest
from kept_run import measured_run
from PIL import Image
from site_rows import rows, write
from test_report_browser import CONTRAST, DESKTOP, PHONE, browser, until  # noqa: F401 (a fixture)

from rescale_bench.api.registry import load_registry
from rescale_bench.report.admission import admit
from rescale_bench.report.site import Look, build_site

SETS = ("mine", "yours")
PAGES = ("index", "compare", "methods", "datasets", "sources", "submit", "method-irn", "dataset-mine")


def build(folder, *tables, runs=(), **look):
    paths = [*runs, *(write(folder / f"run{number}.csv", table) for number, table in enumerate(tables))]
    for name, text in build_site(admit(paths, load_registry(())), load_registry(()), Look(**look)).items():
        path = folder / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / "site"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Three methods on two data sets and scales, one of them also behind JPEG, and one with a hostile name."""
    return build(
        tmp_path_factory.mktemp("site"),
        rows(("bicubic", "lanczos3", "irn"), sets=SETS, images=4, scales=("2", "4")),
        rows(("bicubic", "irn"), sets=("mine",), codec="jpeg:quality=90"),
        rows(("<img src=x onerror=alert(1)>",), sets=("mine",), images=4),
    )


@pytest.fixture
def visit(browser, site):  # noqa: F811
    """Open a page; whatever the console says or the page fetches from elsewhere fails the test."""
    contexts, said = [], []

    def open_page(name, site=site, **options):
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", lambda one: None if one.url.startswith(("data:", "file:")) else said.append(one.url))
        file, _, address = name.partition("#")
        page.goto((site / f"{file}.html").as_uri() + (f"#{address}" if address else ""))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def column(page, name):
    heads = [head.get_attribute("data-name") for head in page.locator("#board thead th").all()]
    place = heads.index(name)
    return [row.locator("> *").nth(place).inner_text() for row in page.locator("#board tbody tr:visible").all()]


def options(page, name):
    return page.locator(f"#{name} option").all_inner_texts()


def test_what_is_chosen_stands_in_the_address(visit):
    page = visit("index")
    assert options(page, "set") == ["all data sets", "mine", "yours"]
    assert set(column(page, "scale")) == {"×2", "×4"}
    page.locator("#set").select_option("mine")
    page.locator("#scale").select_option("4")
    page.locator("#method").fill("i")
    until(page, "document.querySelector('#board-title').textContent.startsWith('mine')")
    assert set(column(page, "scale")) == {"×4"}
    assert set(column(page, "method")) == {"bicubic", "irn"}
    page.locator("#board thead button", has_text="psnr_y").first.click()
    page.locator("#board thead button", has_text="psnr_y").first.click()
    expected = column(page, "psnr_y")
    assert expected == sorted(expected, key=float)
    again = visit("index#" + page.url.partition("#")[2])
    until(again, "document.querySelector('#count').textContent !== ''")
    assert (column(again, "psnr_y"), again.locator("#method").input_value()) == (expected, "i")
    assert again.locator("#board thead th[data-name=psnr_y]").get_attribute("aria-sort") == "ascending"


def test_choices_offer_only_what_is_there(visit):
    page = visit("index#set=yours")
    assert options(page, "codec") == ["png"]
    page.locator("#set").select_option("mine")
    assert options(page, "codec") == ["png", "jpeg:quality=90"]
    page.locator("#codec").select_option("jpeg:quality=90")
    until(page, "document.querySelector('#board-title').textContent.includes('jpeg')")
    assert options(page, "scale") == ["all scales", "×2"]
    # An address that nobody measured leads to what is there.
    page = visit("index#set=nobody&scale=17&sort=nothing&order=sideways")
    until(page, "document.querySelector('#count').textContent !== ''")
    assert column(page, "scale")


def test_a_changed_address_is_followed(visit):
    page = visit("index")
    page.evaluate("location.hash = '#set=yours&scale=2'")
    until(page, "document.querySelector('#board-title').textContent.startsWith('yours')")
    assert set(column(page, "scale")) == {"×2"}


def test_two_methods_image_by_image(visit):
    page = visit("compare#set=mine&codec=png&scale=2&metric=psnr_y&a=irn&b=bicubic")
    until(page, "document.querySelectorAll('#compared tbody tr').length === 4")
    expected = rows(("bicubic", "lanczos3", "irn"), sets=SETS, images=4, scales=("2", "4"))
    mine = expected.query("dataset == 'mine' and scale == '2' and metric == 'psnr_y'").set_index(["method", "image"])
    difference = (mine["value"]["irn"] - mine["value"]["bicubic"]).mean()
    half = 3.18245 * (mine["value"]["irn"] - mine["value"]["bicubic"]).std() / 2
    text = page.locator("#verdict").inner_text()
    assert f"{difference:+.3f} ± {half:.3f} dB over 4 images" in text
    first = page.locator("#compared tbody tr").first.locator("> *").all_inner_texts()
    assert first[:3] == ["image0", f"{mine['value']['irn', 'image0']:.3f}", f"{mine['value']['bicubic', 'image0']:.3f}"]
    page.locator("#swap").click()
    until(page, "location.hash.includes('a=bicubic&b=irn')")
    assert f"{-difference:+.3f}" in page.locator("#verdict").inner_text()
    page.locator("#compared thead button").last.press("Enter")
    assert page.locator("#compared thead th").last.get_attribute("aria-sort") == "descending"


@pytest.fixture(scope="module")
def pictured(tmp_path_factory):
    """A site of a run that kept its pictures."""
    folder = tmp_path_factory.mktemp("pictured")
    return build(folder, runs=[measured_run(folder)], pictures=("mine",))


def test_pictures_of_two_methods(visit, pictured):
    page = visit("compare#a=nearest&b=bicubic", pictured)
    until(page, "document.querySelectorAll('#crops article').length === 2")
    table = page.locator("#compared tbody tr").all()
    expected = sorted((float(row.locator("td").last.inner_text()), row.locator("th").inner_text()) for row in table)
    heads = page.locator("#crops h3").all()
    assert [head.inner_text().split("psnr_y")[0].strip() for head in heads] == [name for _, name in expected]
    page.locator("#compared tbody button").first.press("Enter")
    assert page.evaluate("document.activeElement.querySelector('h3').textContent").startswith("image0")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    crop = page.locator("#crops .crop[aria-pressed=true]")
    assert crop.locator(".over").evaluate("(one) => getComputedStyle(one).visibility") == "visible"
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_difference_is_that_of_the_pixels(visit, pictured):
    page = visit("compare#a=nearest&b=bicubic", pictured)
    until(page, "document.querySelectorAll('#crops article').length === 2")
    page.locator("#gain").select_option("4")
    shown = page.locator(".difference").first
    shown.scroll_into_view_if_needed()
    until(page, "[...document.querySelectorAll('.difference img')].slice(0, 2).every((one) => one.naturalWidth === 96)")
    files = [pictured / image.get_attribute("src") for image in shown.locator("img").all()]
    one, other = (np.asarray(Image.open(file).convert("RGB")).astype(int) for file in files)
    expected = np.minimum(4 * np.abs(one - other), 255)
    shot = np.asarray(Image.open(io.BytesIO(shown.screenshot())).convert("RGB")).astype(int)
    place = (np.arange(96) * 3 + 1)[2:-2]  # each pixel is three wide, and the first of a screenshot may be cut
    assert expected.max() > 100
    assert np.abs(shot[place][:, place] - expected[2:-2, 2:-2]).max() <= 4


def test_lists_are_searched(visit):
    page = visit("methods")
    page.locator("#find").fill("LANC")
    assert page.locator("table.board tbody tr:visible th").all_inner_texts() == ["lanczos3"]
    assert page.locator("#count").inner_text() == "1 of 4"
    page.locator("table.board tbody tr:visible th a").click()
    assert page.locator("h1").inner_text() == "lanczos3"


def test_hostile_names_stay_text(visit):
    page = visit("index#set=mine")
    until(page, "document.querySelector('#board-title').textContent.startsWith('mine')")
    assert "<img src=x onerror=alert(1)>" in column(page, "method")
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "sources", "method-irn"])
def test_text_has_contrast_enough(visit, name, scheme):
    assert visit(name, color_scheme=scheme).evaluate(CONTRAST) == []


@pytest.mark.parametrize("name", PAGES)
def test_pages_fit_a_phone_and_name_everything(visit, name):
    page = visit(name, viewport=PHONE, is_mobile=True, has_touch=True)
    page.wait_for_timeout(50)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator("h1").count() == 1
    unnamed = page.evaluate("""() => [...document.querySelectorAll('input, select, button, a, [tabindex="0"]')]
      .filter((one) => one.checkVisibility() && !(one.labels && one.labels.length) && !one.ariaLabel
        && !one.textContent.trim()).map((one) => one.outerHTML)""")
    assert [text for text in unnamed if not text.startswith("<pre")] == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_without_scripts_the_tables_of_a_data_set_stand(visit):
    page = visit("dataset-mine", java_script_enabled=False)
    assert page.locator("table.board").count() == 3  # two codecs and the images
    assert visit("index", java_script_enabled=False).locator("noscript a").count() == 1
