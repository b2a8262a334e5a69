"""The page of `memeval report` in a real browser.

Needs the package playwright and a Chromium of the machine (Debian: `apt install chromium`); skipped where one is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_runs import Asked, made_run

from memeval.results.load import load_runs
from memeval.results.report import report

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
AGENTS = ("bm25", "recent", "memalpha", "oracle", "none")
LENGTHS = {"toy-10k": 10_000, "toy-30k": 30_000, "toy-100k": 100_000}
QUESTIONS = 128


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser here (looked for {', '.join(BROWSERS)})")
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five agents on three lengths, 128 questions each. Agent number n is right where the question's number allows it; the
    longer the stream, the less so."""
    folder = tmp_path_factory.mktemp("report") / "runs"
    for place, (task, tokens) in enumerate(LENGTHS.items()):
        for agent_number, agent in enumerate(AGENTS):
            control = agent in ("oracle", "none")
            share = 90 if agent == "oracle" else 0 if agent == "none" else 70 - 15 * agent_number - 10 * place
            made_run(
                folder,
                [_asked(number, share, tokens, control) for number in range(QUESTIONS)],
                agent=agent,
                task=task,
                control=control,
                usd_per_call=0.001 * (agent_number + 1),
            )
    return folder


def _asked(number: int, share: int, tokens: int, control: bool) -> Asked:
    kind = ("one-hop", "two-hop", HOSTILE)[number % 3]
    right = number * 37 % 100 < share
    hostile = number == 5
    wrote = f"Person {number} lives in Paris." + (HOSTILE if hostile else "")
    return Asked(
        f"q{number:03}",
        float(right),
        text=HOSTILE if hostile else f"Where does person {number} live?",
        answer="Paris" if right else HOSTILE if hostile else "Rome",
        answers=(HOSTILE,) if hostile else ("Paris",),
        evidence=(f"Person {number} lives in Paris.",),
        kind=kind,
        wrote=(wrote,),
        recalled=() if control and not share else (wrote, "Nothing of use, at great length. " * 30),
        stream_tokens=tokens + number,
        memory_tokens=(share or 1) * 50,
    )


@pytest.fixture(scope="module")
def file(runs: Path) -> Path:
    path = runs.parent / "page.html"
    report(load_runs(runs), path, title=HOSTILE)
    return path


class Opened:
    """A page in a browser, with what it said and what it wanted to load."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.said: list[str] = []
        self.loaded: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.loaded.append(request.url))

    def open(self, file: Path, after: str = "") -> Opened:
        self.page.goto(file.as_uri() + after)
        self.page.wait_for_selector("body[data-ready]")
        return self

    def shows(self, text: str) -> None:
        """Wait until the table says that it shows so many answers."""
        sync_api.expect(self.page.locator(".filters [role=status]")).to_have_text(text)

    def column(self, field: str) -> list[str]:
        return list(self.page.locator(f"#answers .tabulator-cell[tabulator-field={field}]").all_inner_texts())

    def wide(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Opened]]:
    """`new_page(**options)`: an empty page. At the end of the test nothing may have been said, loaded or run."""
    made: list[Opened] = []

    def make(width: int = 1200, height: int = 900, **options: Any) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        made.append(Opened(context.new_page()))
        return made[-1]

    yield make
    for opened in made:
        assert opened.said == []
        assert {url.split(":")[0] for url in opened.loaded} <= {"file"}
        assert len(opened.loaded) == 1
        assert opened.page.evaluate("window.hacked") is None
        opened.page.context.close()


def test_all_parts_are_there(new_page: Callable[..., Opened], file: Path) -> None:
    page = new_page().open(file).page
    contents = page.locator("#contents a").all_inner_texts()
    assert contents[:3] == ["Scores", "Score against length", "Score against memory and cost"]
    assert contents[-2:] == ["Questions", "Notes"]
    for link in page.locator("#contents a").all():
        assert page.locator(f"section{link.get_attribute('href')}").count() == 1
    assert page.locator("#length figure svg").count() == 1
    assert page.locator("#price figure svg").count() == 6  # memory and USD, three tasks
    assert page.locator("#scores tbody th").filter(has_text="bm25").count() == 4
    assert page.inner_text("h1") == HOSTILE


def test_a_switch_takes_an_agent_out_of_all_figures(new_page: Callable[..., Opened], file: Path) -> None:
    page = new_page().open(file).page
    drawn = "#length figure svg [aria-label=line] path"
    before = page.locator(drawn).count()
    page.locator("#price .legend button", has_text="recent").click()
    assert page.locator(drawn).count() == before - 1
    assert page.locator("#length .legend button", has_text="recent").get_attribute("aria-pressed") == "false"


def test_the_table_sorts_and_filters(new_page: Callable[..., Opened], file: Path) -> None:
    opened = new_page().open(file)
    page = opened.page
    opened.shows("1,920 of 1,920 answers")
    page.locator("#answers .tabulator-col[tabulator-field=score]").click()
    assert set(opened.column("score")[:5]) == {"0.0"}
    page.locator("#answers .tabulator-col[tabulator-field=score]").click()
    assert set(opened.column("score")[:5]) == {"100.0"}
    page.select_option("#filter-agent", "recent")
    opened.shows("384 of 1,920 answers")
    page.select_option("#filter-task", "toy-30k")
    page.select_option("#filter-verdict", "wrong")
    rows = [number for number in range(QUESTIONS) if number * 37 % 100 >= 70 - 15 - 10]
    opened.shows(f"{len(rows)} of 1,920 answers")
    assert set(opened.column("agent")) == {"recent"}
    page.fill("#search", f"PERSON {rows[3]} LIVE")
    opened.shows("1 of 1,920 answers")
    assert opened.column("text") == [f"Where does person {rows[3]} live?"]
    page.fill("#search", "no such words")
    page.wait_for_selector("text=No answer matches")


def test_a_question_opens_its_story(new_page: Callable[..., Opened], file: Path) -> None:
    opened = new_page().open(file)
    page = opened.page
    page.select_option("#filter-agent", "memalpha")
    page.select_option("#filter-verdict", "wrong")
    wrong = sum(number * 37 % 100 >= share for share in (40, 30, 20) for number in range(QUESTIONS))
    opened.shows(f"{wrong} of 1,920 answers")  # the rows are drawn again: a click before that would be lost
    page.locator("#answers a").nth(1).click()
    page.wait_for_selector("#story[open] h3")
    text = page.inner_text("#story")
    for part in (
        "Rome",
        "wrong",
        "f1 0.0",
        "Evidence",
        "recalled",
        "holds evidence 1",
        "Memory when asked",
        "After 2 chunks",
    ):
        assert part in text
    assert page.locator("#story mark.gold").first.inner_text() == "Paris"
    assert "Nothing of use" not in page.locator("#story mark").all_inner_texts()
    page.locator("#story summary", has_text="calls in").click()
    page.wait_for_selector("#story code:has-text('memory_insert')")
    first = page.url
    page.locator("#story button", has_text="Next").click()
    sync_api.expect(page).not_to_have_url(first)
    page.locator("#close").click()
    assert not page.locator("#story").is_visible()
    assert page.url.endswith("#questions")


def test_a_story_has_an_address(new_page: Callable[..., Opened], file: Path) -> None:
    page = new_page().open(file, "#answer-7").page
    page.wait_for_selector("#story[open] h3")
    assert page.inner_text("#story h3").startswith("Where does person 7 live")
    page.keyboard.press("Escape")
    assert not page.locator("#story").is_visible()


def test_a_script_in_an_answer_does_nothing(new_page: Callable[..., Opened], file: Path) -> None:
    """It is in title, kind, question, answer, gold, memory and recall; `new_page` looks whether it ran."""
    opened = new_page().open(file)
    page = opened.page
    page.select_option("#filter-verdict", "wrong")
    page.fill("#search", "<script>window.hacked")
    opened.shows("12 of 1,920 answers")  # on three tasks, of all agents but the oracle
    assert HOSTILE in opened.column("answer")[0]
    page.locator("#answers a").first.click()
    page.wait_for_selector("#story[open] h3")
    assert page.inner_text("#story h3") == HOSTILE
    page.evaluate("document.querySelectorAll('#story details').forEach(one => { one.open = true })")
    assert page.locator("#story img, #story script").count() == 0
    assert page.locator("img").count() == 0


def test_nothing_that_gets_into_the_page_runs_or_loads(browser: Any, file: Path) -> None:
    """Were a text ever parsed as HTML: its script would not run, and nothing would leave the machine."""
    page = browser.new_page()
    Opened(page).open(file)
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.hacked = 1";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.hacked = 1'>");
    }""")
    assert page.evaluate("fetch('http://127.0.0.1:9').then(() => 'sent', error => error.name)") == "TypeError"
    assert (
        page.evaluate(
            "new Promise(done => document.addEventListener('securitypolicyviolation', done, { once: true }) ||"
            " fetch('http://127.0.0.1:9').catch(() => 0)).then(event => event.effectiveDirective)"
        )
        == "connect-src"
    )
    assert page.evaluate("window.hacked") is None
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes(new_page: Callable[..., Opened], file: Path, scheme: str) -> None:
    """The page begins in the theme of the system; the switch changes it. Text is readable on its background in both."""
    page = new_page(color_scheme=scheme).open(file).page

    def brightness(of: str) -> float:
        colour = page.evaluate(f"getComputedStyle(document.body).{of}")
        red, green, blue = (int(part) for part in colour[4:-1].split(","))
        return float(0.299 * red + 0.587 * green + 0.114 * blue)

    other = "Light" if scheme == "dark" else "Dark"
    assert page.inner_text("#theme") == other
    begun = brightness("backgroundColor")
    assert (begun < 128) == (scheme == "dark")
    assert abs(begun - brightness("color")) > 150
    page.click("#theme")
    assert (brightness("backgroundColor") < 128) != (scheme == "dark")
    assert abs(brightness("backgroundColor") - brightness("color")) > 150


def test_a_phone_shows_all_of_it(new_page: Callable[..., Opened], file: Path) -> None:
    opened = new_page(width=390, height=844)
    opened.open(file)
    assert opened.wide() == 0
    page = opened.page
    for drawing in page.locator("figure svg").all():
        box = drawing.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    page.locator("#answers a").first.click()
    page.wait_for_selector("#story[open] h3")
    assert page.locator("#story").bounding_box()["width"] <= 390
    assert page.evaluate("document.getElementById('story').scrollWidth - document.getElementById('story').clientWidth") == 0


def test_the_table_follows_the_width_of_the_window(new_page: Callable[..., Opened], file: Path) -> None:
    page = new_page(width=390, height=844).open(file).page
    answer = page.locator("#answers .tabulator-col[tabulator-field=answer]")
    assert not answer.is_visible()
    page.set_viewport_size({"width": 1200, "height": 900})
    answer.wait_for(state="visible")


def test_what_is_left_out_is_said(
    new_page: Callable[..., Opened], runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memeval.results.report.page.LIMIT", 0)
    report(load_runs(runs / "toy-10k"), tmp_path / "small.html")
    page = new_page().open(tmp_path / "small.html").page
    assert "640 are left out" in page.inner_text("#left")
    assert "--stories all" in page.inner_text("#left")
    page.locator("#answers a").first.click()
    page.wait_for_selector("#story[open] >> text=--stories all")
