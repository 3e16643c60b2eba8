"""The sandbox's page in a real browser: how it looks, that it lives, and that it stays in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from nanobanana_nb.sandbox import Sandbox

from ..harness.accessibility import findings, serious
from ..test_sandbox import Clock

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from .conftest import Watch

KEY = {"Authorization": "Bearer a-key"}
WEB = httpx.Client(verify=False)
WIDTHS = (320, 360, 768, 1280, 1600)
PROMPTS = [
    "<script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" & 'more'",
    "ثعلب أحمر في الثلج عند الغروب، لوحة مائية",
    "雪の中の赤い狐、夕暮れ時、水彩画、とても静かな森の中で遠くを見つめている。" * 4,
    "W" * 400,
    "🦊🌨️ fox 👩‍👩‍👧‍👦 in the snow",
    "one \u202e reversed \u0000 line\nanother line\n</p></li></ul>",
]
ODD = ("CONTENT_VIOLATION", "InputImageSensitiveContentDetected", "two", "cut-once", "forever")

_SHIFT = """() => { window.shifted = 0; new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({type: 'layout-shift', buffered: true}); }"""
_TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
_CUT = """() => [...document.querySelectorAll('#tasks > li *, header *, .begin *')]
    .filter(node => node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0
        && !['hidden'].includes(getComputedStyle(node).overflowX)
        && getComputedStyle(node).display !== 'inline')
    .map(node => node.outerHTML.slice(0, 80))"""
_LOADED = "() => [...document.images].every(image => image.complete && image.naturalWidth > 0)"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(latency=10, clock=clock, balance=100) as running:
        yield running


def submit(sandbox: Sandbox, prompt: str, **more: Any) -> str:
    answer = WEB.post(
        f"{sandbox.url}/generateTask/nano-banana",
        headers=KEY,
        json={"input": {"prompt": prompt, **more}},
    )
    return str(answer.json()["data"]["taskId"])


def fill(sandbox: Sandbox, clock: Clock) -> None:
    """Tasks of every kind: done, failed, under way, and with prompts that are hard to show."""
    for prompt in PROMPTS:
        submit(sandbox, prompt)
    for number, directive in enumerate(ODD):
        ratio = ("21:9", "9:16", "1:1")[number % 3]
        submit(sandbox, f"An owl [sandbox {directive}]", aspect_ratio=ratio, output_format="png")
    clock.now += 20
    submit(sandbox, "A lighthouse")
    clock.now += 5
    submit(sandbox, "A train")


def fill_none(_sandbox: Sandbox, _clock: Clock) -> None:
    """Nothing yet."""


def fill_many(sandbox: Sandbox, clock: Clock) -> None:
    for number in range(500):
        submit(sandbox, f"fox {number}")
    clock.now += 20


def scrolled(page: Page) -> None:
    """Every picture in sight once, and loaded."""
    for card in page.locator("#tasks > li").all():
        card.scroll_into_view_if_needed()
    page.wait_for_function(_LOADED)
    page.evaluate("scrollTo(0, 0)")


@pytest.mark.parametrize("contents", [fill_none, fill], ids=["empty", "tasks"])
def test_it_fits_at_every_width(
    page: Page,
    sandbox: Sandbox,
    clock: Clock,
    watch: Watch,
    shot: Callable[[str], Path],
    contents: Callable[[Sandbox, Clock], None],
) -> None:
    """From a phone to a wide screen, light and dark, nothing is wider than its place; and the
    page's own policy stops nothing of the page."""
    contents(sandbox, clock)
    page.goto(sandbox.url)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for look in ("light", "dark"):
            page.emulate_media(color_scheme=look)  # type: ignore[arg-type]
            shot(f"sandbox-{contents.__name__}-{width}-{look}")
            assert page.evaluate(_TOO_WIDE) <= 0, width
            assert page.evaluate(_CUT) == [], width
    scrolled(page)
    assert watch.console == []
    assert watch.outside == []


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("contents", [fill_none, fill], ids=["empty", "tasks"])
def test_axe_finds_nothing(
    browser: Browser,
    sandbox: Sandbox,
    clock: Clock,
    contents: Callable[[Sandbox, Clock], None],
    width: int,
    look: Any,
) -> None:
    """Contrast, names, landmarks and order, also with everything unfolded. The checker adds a
    style of its own, which the page's policy would stop."""
    contents(sandbox, clock)
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=look, bypass_csp=True
    )
    page = context.new_page()
    page.goto(sandbox.url)
    page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
    found = findings(page, "html")
    context.close()
    assert serious(found) == []


def test_it_follows_what_happens(page: Page, sandbox: Sandbox, clock: Clock, watch: Watch) -> None:
    """A new task appears and its picture comes without a reload; a card that did not change is
    the same element as before, with its details open and the keyboard still on it."""
    from playwright.sync_api import expect

    page.goto(sandbox.url)
    expect(page.get_by_text("Nothing has been drawn yet")).to_be_visible()
    first = submit(sandbox, "a fox")
    card = page.locator(f"#task-{first}")
    expect(card.locator(".state b")).to_have_text("pending")
    expect(page.get_by_text("Nothing has been drawn yet")).to_have_count(0)
    card.locator("summary").focus()
    page.keyboard.press("Enter")
    clock.now += 20
    expect(card.locator(".state b")).to_contain_text("success in")
    expect(card.locator("details")).to_have_attribute("open", "")
    expect(card.locator("summary")).to_be_focused()
    page.wait_for_function(_LOADED)
    card.evaluate("node => { node.kept = true; }")
    second = submit(sandbox, "an owl [sandbox TIMEOUT]")
    expect(page.locator("#tasks > li").first).to_have_id(f"task-{second}")
    assert card.evaluate("node => node.kept")
    expect(card.locator("summary")).to_be_focused()
    expect(page.locator("#figures")).to_contain_text("$99.94")
    assert watch.console == []


def test_of_many_tasks_the_oldest_make_room(page: Page, sandbox: Sandbox, clock: Clock) -> None:
    """With 500 tasks there are sixty cards, newest first, also after another one has come."""
    from playwright.sync_api import expect

    fill_many(sandbox, clock)
    page.goto(sandbox.url)
    cards = page.locator("#tasks > li")
    expect(cards).to_have_count(60)
    expect(page.get_by_text("440 older tasks are not shown")).to_be_visible()
    submit(sandbox, "the last of all")
    expect(cards.first.locator(".prompt")).to_have_text("the last of all")
    expect(cards).to_have_count(60)
    expect(cards.last.locator(".prompt")).to_have_text("fox 441")
    expect(page.get_by_text("441 older tasks are not shown")).to_be_visible()


def test_it_can_be_halted(page: Page, sandbox: Sandbox) -> None:
    """Who reads may stop the updates, and gets all that came once they go on."""
    from playwright.sync_api import expect

    page.goto(sandbox.url)
    page.get_by_role("button", name="Pause updates").click()
    submit(sandbox, "a fox")
    with page.expect_event("requestfinished", timeout=60_000) as finished:
        page.get_by_role("button", name="Resume updates").click()
    assert finished.value.url.rstrip("/") == sandbox.url
    expect(page.locator("#tasks > li")).to_have_count(1)


def test_an_ended_sandbox_is_told(page: Page, sandbox: Sandbox, clock: Clock) -> None:
    """What was drawn stays to be looked at, and the page says that it is no longer live."""
    from playwright.sync_api import expect

    fill(sandbox, clock)
    page.goto(sandbox.url)
    shown = page.locator("#tasks > li").count()
    sandbox.close()
    expect(page.get_by_role("status")).to_have_text(
        "The sandbox does not answer any more. This is how it was."
    )
    assert page.locator("#tasks > li").count() == shown


def test_pictures_move_nothing(page: Page, sandbox: Sandbox, clock: Clock) -> None:
    """The place of a picture is kept until it is there, and is the same whatever its ratio."""
    for ratio in ("21:9", "9:16", "1:1", "auto"):
        submit(sandbox, f"A fox, {ratio}", aspect_ratio=ratio)
    clock.now += 20
    page.add_init_script(f"({_SHIFT})()")
    page.goto(sandbox.url)
    scrolled(page)
    assert page.evaluate("window.shifted") < 0.001
    for place in page.locator(".stage").all():
        box = place.bounding_box()
        assert box is not None
        assert box["height"] == pytest.approx(box["width"] * 3 / 4, abs=1)


def test_no_prompt_does_anything(
    page: Page, sandbox: Sandbox, clock: Clock, alerts: list[str], watch: Watch
) -> None:
    """Markup in prompts is text, in the first page and in what the script puts in later."""
    from playwright.sync_api import expect

    page.goto(sandbox.url)
    fill(sandbox, clock)
    expect(page.locator("#tasks > li")).to_have_count(len(PROMPTS) + len(ODD) + 2)
    page.reload()
    shown = page.locator(".prompt").all_inner_texts()
    assert sum("<script>alert(1)</script>" in text for text in shown) == 1
    assert page.locator("#tasks script, #tasks img[src=x]").count() == 0
    assert watch.console == []
    assert alerts == []


def test_it_is_whole_without_a_script(browser: Browser, sandbox: Sandbox, clock: Clock) -> None:
    """Everything is there, no button that would do nothing, and how to see what is new."""
    fill(sandbox, clock)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(sandbox.url)
    assert page.locator("#tasks > li").count() == len(PROMPTS) + len(ODD) + 2
    assert page.get_by_role("button").count() == 0
    assert page.get_by_text("Reload to see what is new.").is_visible()
    page.locator("summary").first.click()
    assert page.locator("details dl").first.is_visible()
    context.close()


def test_the_keyboard_gets_everywhere_and_is_seen(
    page: Page, sandbox: Sandbox, clock: Clock
) -> None:
    """Each control is reached in the order of the page, and has an outline while it is."""
    submit(sandbox, "a fox")
    clock.now += 20
    page.goto(sandbox.url)
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.innerText")
        )
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) == "solid", reached
    names = ["pause", "copy", "OpenAPI description", "account as JSON", "", "Details"]
    assert reached == names
