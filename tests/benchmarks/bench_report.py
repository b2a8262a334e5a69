"""How fluid the page of `memeval report` is with 10,000 questions: seconds to write it, milliseconds to open it, to sort, to
filter and to open a story, in a headless browser."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from memeval.results.load import load_runs
from memeval.results.report import report

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

QUESTIONS = 10_000
CLICK = """([selector, value]) => new Promise(done => {
  const begun = performance.now(), found = document.querySelector(selector);
  if (value === null) found.click();
  else { found.value = value; found.dispatchEvent(new Event(found.tagName === "INPUT" ? "input" : "change")); }
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
})"""
"""Do something, and wait until what follows from it is drawn."""


def test_ten_thousand_questions(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
    if program is None:
        pytest.skip("no browser here")
    from made_runs import Asked, made_run

    chance = random.Random(1)

    def words(count: int) -> str:
        return " ".join(f"word{chance.randrange(3000)}" for _ in range(count))

    asked = [
        Asked(
            f"q{number:05}",
            float(number % 2),
            text=f"Where does {words(8)} live?",
            answer=words(4),
            kind=f"kind{number % 7}",
            wrote=(words(40), words(40)),
            recalled=(words(60), words(60)),
        )
        for number in range(QUESTIONS)
    ]
    made_run(tmp_path / "runs", asked, task="big")
    begun = time.monotonic()
    made = report(load_runs(tmp_path / "runs"), tmp_path / "big.html")
    print(f"\n{made.answers:,} answers, {made.size / 1e6:.1f} MB: written in {time.monotonic() - begun:.1f} s")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program)
        page = browser.new_page()
        begun = time.monotonic()
        page.goto((tmp_path / "big.html").as_uri())
        page.wait_for_selector("body[data-ready]")
        print(f"open {1000 * (time.monotonic() - begun):.0f} ms")
        for what, selector, value in (
            ("sort by score", "#answers .tabulator-col[tabulator-field=score]", None),
            ("sort by text", "#answers .tabulator-col[tabulator-field=text]", None),
            ("filter by verdict", "#filter-verdict", "wrong"),
            ("no filter", "#filter-verdict", ""),
            ("filter by kind", "#filter-kind", "kind3"),
        ):
            print(f"{what} {page.evaluate(CLICK, [selector, value]):.0f} ms")
        begun = time.monotonic()
        page.locator("#answers a").first.click()
        page.wait_for_selector("#story[open] h3")
        print(f"open a story {1000 * (time.monotonic() - begun):.0f} ms")
        browser.close()
