"""The page in a real browser: what a person does with it, and what axe-core finds wrong with it for others."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import page_reports as reports
import pytest

from conformance.report import page

#: A fresh browser that asks nobody for anything.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = "axe-core@4.14.1"
VERDICT = "view=verdict&backend=swapped&property=values.output"
VIEWS = ("", VERDICT, "view=backend&backend=swapped", "view=property&property=values.output")

Driver = Any


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra page-test)")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs):
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
    browser.set_script_timeout(120)
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The address of the page of a report of ``page_reports``."""
    folder = tmp_path_factory.mktemp("pages")

    def address(name: str) -> str:
        file = folder / f"{name}.html"
        if not file.exists():
            file.write_text(page.render(getattr(reports, name)()), encoding="utf-8")
        return file.as_uri()

    return address


@pytest.fixture
def see(driver: Driver, pages: Callable[[str], str]) -> Iterator[Callable[..., Driver]]:
    """Open a page: of a report, at a fragment, that wide, light or dark. The browser must have no complaint."""

    def opened(name: str = "small", fragment: str = "", width: int = 1280, dark: bool = False) -> Driver:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})
        driver.get("about:blank")
        driver.get(f"{pages(name)}{'#' * bool(fragment)}{fragment}")
        return driver

    yield opened
    if driver.current_url.startswith("file:"):
        driver.execute_script("localStorage.clear()")
    assert [entry["message"] for entry in driver.get_log("browser")] == []


def text(driver: Driver, selector: str) -> str:
    """The text that a person sees of an element."""
    return driver.execute_script("return document.querySelector(arguments[0]).innerText", selector)


def shown(driver: Driver, selector: str) -> list[str]:
    """The texts of the elements that are to be seen."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).map(e => e.innerText)"
    )
    return driver.execute_script(script, selector)


def press(driver: Driver, *keys: str) -> None:
    """Press keys, wherever the focus is."""
    from selenium.webdriver.common.keys import Keys  # noqa: PLC0415

    for key in keys:
        driver.switch_to.active_element.send_keys(getattr(Keys, key, key))


def click(driver: Driver, selector: str) -> None:
    """Click an element as a person does."""
    element = driver.find_element("css selector", selector)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def until(driver: Driver, script: str) -> None:
    """Wait for the browser, at most 10 seconds."""
    for _ in range(200):
        if driver.execute_script(f"return {script}"):
            return
        time.sleep(0.05)
    pytest.fail(f"not within 10 s: {script}")


def test_the_groups_open_and_a_cell_leads_to_its_failure(see: Callable[..., Driver]) -> None:
    driver = see()
    assert text(driver, "h1") == "2 LSTMs: 1 conformant, 1 not conformant"
    assert not shown(driver, "#matrix .row")
    click(driver, "tbody[data-group=values] button")
    assert shown(driver, "#matrix .row th a")[0].startswith("values.")
    click(driver, "tbody[data-group=values] td.f")
    until(driver, "!document.getElementById('view').hidden")
    assert "values.output" in text(driver, "#view h1")
    assert "failed" in text(driver, "#view h1")
    for words in ("expected", "0.101", "first wrong: output[0, 0, 1]", "Why it matters", "reorder(value", "replay"):
        assert words in text(driver, "#view")
    wrong = shown(driver, "#view .cells td.first")
    assert wrong == ["0.101", "3200"], "the first wrong element, and by how much"


def test_search_filters_rows_columns_and_failures_and_is_kept_in_the_address(see: Callable[..., Driver]) -> None:
    driver = see()
    press(driver, "/")
    until(driver, "document.activeElement.id === 'q'")
    press(driver, "s", "t", "a", "t", "e", ".", "c")
    assert driver.execute_script("return location.hash") == "#q=state.c"
    rows = shown(driver, "#matrix .row th a")
    assert rows
    assert all(row.startswith("state.c") for row in rows)
    assert text(driver, "#matches").startswith("4 of ")
    assert "of 2 properties and 2 backends" in text(driver, "#matches")
    press(driver, " ", "s", "w", "a", "p")
    assert len(shown(driver, "#matrix thead th")) == 2, "one column is left, beside the properties"
    press(driver, "ESCAPE")
    assert driver.execute_script("return [location.hash, document.getElementById('q').value]") == ["", ""]
    assert not shown(driver, "#clear")


def test_the_filter_stays_while_a_person_looks_around(see: Callable[..., Driver]) -> None:
    driver = see(fragment="q=state.c")
    click(driver, '.top a[href="#failures"]')
    assert driver.execute_script("return [location.hash, document.activeElement.id]") == [
        "#q=state.c",
        "failures-title",
    ]
    click(driver, "#list a")
    until(driver, "!document.getElementById('view').hidden")
    press(driver, "/")
    until(driver, "document.activeElement.id === 'q'")
    assert driver.execute_script("return [location.hash, arguments[0].value]", driver.switch_to.active_element) == [
        "#q=state.c",
        "state.c",
    ]


def test_margins_stand_in_place_of_the_marks(see: Callable[..., Driver]) -> None:
    driver = see()
    click(driver, "#margins")
    line = "document.querySelector('#matrix .row td.measured')"
    assert driver.execute_script(f"return {line}.innerText").startswith(".")
    assert "passed, margin 0." in driver.execute_script(f"return {line}.ariaLabel")
    click(driver, "#margins")
    assert driver.execute_script("return document.querySelector('#matrix .row td.p').innerText") == "✓"


def test_outcomes_groups_and_backends_filter_too(see: Callable[..., Driver]) -> None:
    driver = see(fragment="outcome=failed&group=state")
    count = sum(id.startswith("state.") for id in reports.IDS)
    assert text(driver, "#matches").startswith(f"{count} of ")
    assert len(shown(driver, "#list li")) == count
    assert driver.execute_script("return document.querySelector('[name=outcome][value=f]').checked")
    click(driver, "#clear")
    until(driver, "location.hash === ''")
    assert text(driver, "#matches").endswith(" results")
    driver = see(fragment="backend=numpy&q=nothing-has-this-text")
    assert text(driver, "#matches").startswith("0 of ")


@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        (VERDICT, ["values.output", "swapped", "lstm-conformance replay"]),
        ("view=backend&backend=swapped", ["not conformant", "Coverage of the choices", "What is wrong", "Plots"]),
        ("view=property&property=values.output", ["Every output", "Why it matters", "needs", "numpy", "swapped"]),
        ("view=verdict&backend=nobody&property=values.output", ["Results"]),
    ],
)
def test_every_view_has_an_address(see: Callable[..., Driver], fragment: str, words: list[str]) -> None:
    driver = see(fragment=fragment)
    for word in words:
        assert word in text(driver, "main")


def test_the_keyboard_moves_in_the_matrix_opens_and_goes_back(see: Callable[..., Driver]) -> None:
    driver = see()
    driver.execute_script("document.querySelector('#matrix tbody[data-group=values] button').focus()")
    press(driver, "ENTER", "ARROW_DOWN", "ARROW_RIGHT", "ARROW_RIGHT")
    at = "[document.activeElement.cellIndex, document.activeElement.parentElement.querySelector('a').innerText]"
    column, row = driver.execute_script(f"return {at}")
    assert column == 2
    assert row.startswith("values.")
    press(driver, "END", "HOME", "ARROW_RIGHT", "ARROW_RIGHT")
    while "values.output" not in driver.execute_script("return document.activeElement.parentElement.innerText"):
        press(driver, "ARROW_DOWN")
    press(driver, "ENTER")
    until(driver, "!document.getElementById('view').hidden")
    assert driver.execute_script("return document.activeElement.tagName") == "H1"
    press(driver, "ESCAPE")
    until(driver, "document.getElementById('view').hidden")
    assert driver.execute_script(f"return {at}") == [2, "values.output"], "where it was before"
    style = "getComputedStyle(document.activeElement).outlineStyle"
    press(driver, "ARROW_UP")
    assert driver.execute_script(f"return {style}") == "solid", "the focus is to be seen"


def test_the_numbers_of_a_grid_are_told_by_their_index(see: Callable[..., Driver]) -> None:
    driver = see(fragment=VERDICT)
    driver.execute_script("document.querySelector('.tensor .cells td[tabindex=\"0\"]').focus()")
    press(driver, "ARROW_DOWN")
    assert text(driver, ".cell-told").startswith("weight_ih_l0[1, 0] = -0.2857")
    assert text(driver, ".cell-told").endswith("gate i1")


def test_code_is_copied(see: Callable[..., Driver]) -> None:
    driver = see(fragment=VERDICT)
    script = "window.copied = []; navigator.clipboard.writeText = async (text) => { window.copied.push(text); }"
    driver.execute_script(script)
    buttons = driver.find_elements("css selector", "#view [data-copy]")
    assert len(buttons) == 3, "the fix, the replay line, the reproduction"
    for button in buttons:
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
    until(driver, "window.copied.length === 3")
    fix, replay, write = driver.execute_script("return window.copied")
    assert fix.startswith("params = ")
    assert write == f"{replay} --write failure.py"
    assert "copied" in text(driver, "#view")


def test_dark_mode_follows_the_system_and_a_switch(see: Callable[..., Driver]) -> None:
    def background(driver: Driver) -> int:
        colour = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        return int(colour.removeprefix("rgb(").split(",")[0])

    assert background(see()) > 200
    driver = see(dark=True)
    assert background(driver) < 60
    click(driver, "#theme")
    assert background(driver) > 200
    driver.refresh()
    assert background(driver) > 200, "the choice is kept"


@pytest.mark.parametrize("name", ["small", "large", "hostile", "incomplete", "misconverted"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_itself_never_scrolls_sideways(see: Callable[..., Driver], name: str, width: int) -> None:
    driver = see(name, width=width)
    beyond = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    driver.execute_script("document.getElementById('expand').click()")
    assert driver.execute_script(beyond) == 0
    links = driver.execute_script(
        "return [...document.querySelectorAll('#list a, .summary a, .matrix .row th a')].map(a => a.hash).slice(0, 400)"
    )
    for fragment in [*links[:2], *links[-2:]]:
        driver.execute_script("location.hash = arguments[0]", fragment)
        until(driver, "!document.getElementById('view').hidden")
        assert driver.execute_script(beyond) == 0, fragment


def test_nothing_that_a_backend_says_is_run_or_becomes_a_link(see: Callable[..., Driver]) -> None:
    driver = see("hostile")
    count = driver.execute_script("return document.querySelectorAll('#list a').length")
    assert count == len(reports.HOSTILE)
    for at in range(count):
        driver.execute_script("location.hash = document.querySelectorAll('#list a')[arguments[0]].hash", at)
        until(driver, "!document.getElementById('view').hidden")
        found = "return [document.querySelectorAll('main :is(img, script, iframe)').length, document.title]"
        images, title = driver.execute_script(found)
        assert images == 0
        assert title != "owned"
        wrong = "return [...document.querySelectorAll('a')].filter(a => !/^(#|https?:)/.test(a.getAttribute('href')))"
        assert driver.execute_script(wrong) == []
        driver.execute_script("location.hash = ''")
        until(driver, "document.getElementById('view').hidden")


def test_an_incomplete_report_is_seen_to_be(see: Callable[..., Driver]) -> None:
    driver = see("incomplete")
    assert "This report is incomplete" in text(driver, "[role=alert]")
    click(driver, "#expand")
    assert "interrupted" in text(driver, ".summary")


def test_wrong_weights_are_seen_at_once_and_right_ones_in_a_line(see: Callable[..., Driver]) -> None:
    """Without scrolling, on a phone too."""
    for width in (390, 1280):
        driver = see("misconverted", width=width)
        [box] = driver.find_elements("css selector", ".misconverted")
        assert box.rect["y"] + box.rect["height"] < 900
        assert "the gates stand in the order i, f, g, o" in box.text
        assert "right.onnx" not in box.text
        assert "the weights of right.onnx are those of t.npz: 1 LSTM, equal to the last bit" in text(driver, ".hero")
    driver = see("misconverted", "view=backend&backend=wrong.onnx:/enc/LSTM@runtime:t.npz")
    assert "✕ enc, converted wrongly; weight_ih_l0 and weight_hh_l0: the gates stand" in text(driver, "#view")


def test_a_large_report_answers_at_once(see: Callable[..., Driver]) -> None:
    """40 backends, all properties, 500 failures. The time is told, and decides only where it is far off."""
    driver = see("large")
    timing = "const t = performance.getEntriesByType('navigation')[0]; return t.domInteractive"
    ready = driver.execute_script(timing)
    began = "const t = performance.now(); const q = document.getElementById('q'); q.value = 'h_n state';"
    typed = driver.execute_script(
        f"{began} q.dispatchEvent(new Event('input', {{bubbles: true}})); return performance.now() - t"
    )
    print(f"interactive after {ready:.0f} ms; filtered in {typed:.0f} ms")
    assert len(shown(driver, "#list li")) > 0
    assert ready < 20_000


def test_print_shows_the_whole_without_its_controls(see: Callable[..., Driver]) -> None:
    driver = see()
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not shown(driver, "#filter")
        assert not shown(driver, ".top")
        assert shown(driver, "#matrix .group")
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.fixture(scope="module")
def axe(request: pytest.FixtureRequest) -> str:
    """The source of axe-core, which npm keeps."""
    folder = Path(request.config.cache.mkdir("axe-core"))  # type: ignore[union-attr]
    file = folder / "axe.min.js"
    if not file.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip(f"npm is not installed, from which {AXE} comes")
        told = subprocess.run(
            [npm, "pack", AXE, "--pack-destination", str(folder)], capture_output=True, text=True, env=os.environ
        )
        if told.returncode:
            pytest.skip(f"npm has no {AXE} here: {told.stderr.strip()[-200:]}")
        with tarfile.open(folder / told.stdout.split()[-1]) as archive:
            member = archive.extractfile("package/axe.min.js")
            assert member is not None
            file.write_bytes(member.read())
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["small", "misconverted"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_axe_finds_nothing_serious(see: Callable[..., Driver], axe: str, width: int, dark: bool, name: str) -> None:
    driver = see(name, width=width, dark=dark)
    click(driver, "tbody[data-group=values] button")
    for fragment in VIEWS if name == "small" else VIEWS[:1]:
        driver.execute_script("location.hash = arguments[0]", fragment)
        until(driver, f"document.getElementById('view').hidden === {'false' if fragment else 'true'}")
        driver.execute_script(axe)
        found = driver.execute_async_script(
            "const done = arguments[0];"
            "axe.run(document, {resultTypes: ['violations']}).then(told => done(told.violations));"
        )
        bad = [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found]
        assert [one for one in bad if one[1] in ("serious", "critical")] == [], fragment
