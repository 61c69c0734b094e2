"""The report in a real browser: a reader opens everything in it, everything shows, and nothing comes from a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DRIVER, CHROMIUM = shutil.which("chromedriver"), shutil.which("chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("miniature"),
    pytest.mark.skipif(
        DRIVER is None or CHROMIUM is None, reason="needs a browser: Debian's chromium and chromium-driver"
    ),
]

CATEGORIES = ["What was run", "Replication", "Tables", "Figures", "Corpus", "Costs", "Deviations", "Environment"]
LOCAL = ("file:", "data:", "about:", "blob:", "chrome:")
SECONDS = 30  # that a result may take to show


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium in which every host name is unknown, and which records what pages ask for."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",  # a container's root has none
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--window-size=1600,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def opened(browser: Any, report: Path) -> dict[str, dict[str, Any]]:
    """What a reader sees after clicking on each result, by its path; and the address of everything asked for."""
    seen: dict[str, dict[str, Any]] = {}
    browser.get(report.as_uri())
    contents = browser.execute_script("return categories")
    for category in menu(browser):
        subcategories = sorted(contents[category])
        for subcategory in subcategories:
            browser.get(report.as_uri())
            click(browser, category)
            if len(subcategories) > 1:
                click(browser, subcategory)
            for row in range(len(contents[category][subcategory])):
                path, facts = open_result(browser, row)
                seen[path] = {"category": category, "subcategory": subcategory, **facts}
    return seen


def menu(browser: Any) -> list[str]:
    """Return the categories of results as the menu orders them."""
    links = wait(browser, lambda: browser.find_elements("css selector", "nav ul li a"))
    texts = [link.text.strip() for link in links]
    return texts[texts.index("About") + 1 :]


def click(browser: Any, label: str) -> None:
    """Click on the entry of the menu that has exactly this label."""
    links = wait(
        browser,
        lambda: [link for link in browser.find_elements("css selector", "nav ul li a") if link.text.strip() == label],
    )
    links[0].click()


def open_result(browser: Any, row: int) -> tuple[str, dict[str, Any]]:
    """Click on the eye of a row of results; return the result's path and what shows."""
    wait(browser, lambda: browser.find_elements("css selector", "nav table tbody tr"))
    before = browser.execute_script("return app.state.resultPath")
    script = "return app.state.resultPath === arguments[0] ? null : app.state.resultPath"

    def clicked() -> str | None:  # a click on a row that is just drawn anew is lost, so it is repeated
        rows = browser.find_elements("css selector", "nav table tbody tr")
        if browser.execute_script(script, before) is None and len(rows) > row:
            rows[row].find_element("css selector", "td:last-child a").click()
        return browser.execute_script(script, before)

    path = wait(browser, clicked)
    if path.endswith(".html"):
        frame = wait(browser, lambda: browser.find_elements("css selector", "iframe"))[0]
        browser.switch_to.frame(frame)
        wait(browser, lambda: browser.find_elements("css selector", "h1"))
        facts = browser.execute_script(
            "return {kind: 'page', title: document.querySelector('h1').innerText,"
            " tables: [...document.querySelectorAll('table')].map("
            "   table => [table.tBodies[0].rows.length, table.getBoundingClientRect().height])}"
        )
        browser.switch_to.default_content()
        return path, facts
    script = (
        "const image = document.querySelector('.grow img');"
        "return image && image.src === results[app.state.resultPath].data_uri && image.complete"
        " ? {kind: 'image', width: image.naturalWidth, height: image.naturalHeight,"
        "    left: image.getBoundingClientRect().left, shown: image.getBoundingClientRect().width,"
        "    menu: document.querySelector('nav').getBoundingClientRect().right} : null"
    )
    return path, wait(browser, lambda: browser.execute_script(script))


def wait(browser: Any, found: Any) -> Any:
    """Return the first answer that is not empty."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, SECONDS, ignored_exceptions=[StaleElementReferenceException]).until(lambda _: found())


def test_categories_are_ordered_for_a_reviewer(browser: Any, report: Path) -> None:
    browser.get(report.as_uri())
    assert menu(browser) == [f"{number} {name}" for number, name in enumerate(CATEGORIES, start=1)]


def test_it_begins_with_the_notice_and_the_verdict(browser: Any, report: Path) -> None:
    browser.get(report.as_uri())
    wait(browser, lambda: "Highest average" in browser.find_element("css selector", "body").text)
    text = browser.find_element("css selector", "body").text
    assert text.index("Generated data: the corpus") < text.index("Highest average over all kinds of task")


def test_every_result_of_the_report_was_opened(browser: Any, opened: dict[str, dict[str, Any]]) -> None:
    assert set(opened) == set(browser.execute_script("return Object.keys(results)"))
    figures = {Path(path).stem for path, facts in opened.items() if facts["kind"] == "image"}
    assert {"scores", "score_by_latency", "paper_and_replication", "pretraining_losses", "corpus_files"} <= figures


def test_every_figure_shows(opened: dict[str, dict[str, Any]]) -> None:
    images = {path: facts for path, facts in opened.items() if facts["kind"] == "image"}
    assert images
    for path, facts in images.items():
        assert facts["width"] > 100 and facts["height"] > 50, path
        assert facts["shown"] > 100, path
        assert facts["left"] >= facts["menu"] - 1, f"{path} is hidden behind the menu"


def test_every_table_has_rows_that_show(opened: dict[str, dict[str, Any]]) -> None:
    pages = {path: facts for path, facts in opened.items() if facts["kind"] == "page"}
    assert len(pages) >= 12
    for path, facts in pages.items():
        assert facts["title"], path
        # what the miniature has not, a comparison with the paper, this page says in words
        assert facts["tables"] or path.endswith("/replication.html"), path
        assert all(rows > 0 and height > 10 for rows, height in facts["tables"]), (path, facts["tables"])


def test_every_result_has_a_caption(browser: Any, opened: dict[str, dict[str, Any]]) -> None:
    captions = browser.execute_script("return Object.entries(results).map(([path, result]) => [path, result.caption])")
    assert {path for path, caption in captions if not caption} == set()


def test_nothing_is_fetched(browser: Any, opened: dict[str, dict[str, Any]]) -> None:
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
    assert any(url.startswith("file:") for url in asked)  # the record works
    assert [url[:200] for url in asked if not url.startswith(LOCAL)] == []
