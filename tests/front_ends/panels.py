"""The panel in a page, used as a person uses it: typed into, clicked, looked at.

It is found by its own classes only, so that this serves every front end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..conftest import drawing_at

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PANEL = "import nanobanana_nb as nb\npanel = nb.Panel()\npanel"

# What stands in the tiles, noted whenever it changes, with the milliseconds since the page began.
_WATCH_TILES = """root => {
    const now = () => [...root.querySelectorAll('.nbp-tile:not(.nbp-off)')].map(tile => {
        const frame = tile.querySelector('.nbp-frame');
        const image = tile.querySelector('img');
        return (image ? 'picture' : frame ? frame.querySelector('b').textContent : '?')
            + ': ' + (tile.querySelector('.nbp-caption')?.textContent ?? '');
    });
    window.tilesSeen = [];
    const look = () => {
        const tiles = now(), last = window.tilesSeen.at(-1);
        if (JSON.stringify(last?.tiles) !== JSON.stringify(tiles)) {
            window.tilesSeen.push({at: performance.now(), tiles});
        }
    };
    look();
    new MutationObserver(look).observe(root, {
        childList: true, subtree: true, characterData: true,
        attributes: true, attributeFilter: ['class'],
    });
}"""

# A file as a person drops or pastes it.
_HAND_OVER = """async (node, {event, files, texts}) => {
    const data = new DataTransfer();
    for (const {name, type, base64, blanks} of files) {
        const bytes = Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
        const parts = [bytes, new Uint8Array(blanks)];
        data.items.add(new File(parts, name, {type}));
    }
    for (const [kind, text] of Object.entries(texts)) data.setData(kind, text);
    const kinds = event === 'drop' ? ['dragenter', 'dragover', 'drop'] : ['paste'];
    const more = event === 'drop' ? {dataTransfer: data} : {clipboardData: data};
    const Kind = event === 'drop' ? DragEvent : ClipboardEvent;
    return kinds.map(kind => node.dispatchEvent(
        new Kind(kind, {bubbles: true, cancelable: true, ...more}))).pop();
}"""

_NAME_OF_FOCUSED = """() => {
    const node = document.activeElement;
    if (!node || !node.closest('.nbp-panel')) return null;
    const named = (node.labels && node.labels[0]?.textContent) || '';
    const own = node.matches('button, pre') ? node.textContent : '';
    return {
        tag: node.tagName.toLowerCase(),
        name: (node.getAttribute('aria-label') || named || own || '').trim(),
    };
}"""


def prepared(url: str | None, home: Path, *, hands: bool = True) -> str:
    """The source of a first cell: draw at this API, or in the sandbox; with or without anywidget.

    It reads the environment afresh, so that a restarted kernel finds the same home.
    """
    settings = {"NANOBANANA_HOME": str(home)} | (drawing_at(url) if url else {})
    lines = ["import os, sys", f"os.environ.update({settings!r})"]
    if not hands:
        lines.append("sys.modules['anywidget'] = None  # as if it were not installed")
    return "\n".join(lines)


@dataclass(frozen=True)
class File:
    """What is dropped or pasted; `blanks` bytes of nothing are added to it."""

    name: str
    type: str
    data: bytes
    blanks: int = 0


class PanelPage:
    """One panel of a page, the first unless another is meant."""

    def __init__(self, page: Page, number: int = 0) -> None:
        self.page = page
        self.root = page.locator(".nbp-panel").nth(number)

    # ------------------------------------------------------------------ what is there

    @property
    def prompt(self) -> Locator:
        return self.root.locator(".nbp-prompt textarea")

    @property
    def search(self) -> Locator:
        return self.root.locator(".nbp-search input")

    @property
    def link(self) -> Locator:
        return self.root.locator(".nbp-link input")

    @property
    def generate(self) -> Locator:
        return self.root.locator("button.nbp-generate")

    @property
    def tiles(self) -> Locator:
        """The tiles that are shown, newest first."""
        return self.root.locator(".nbp-tile:not(.nbp-off)")

    @property
    def pictures(self) -> Locator:
        """The tiles that have their picture."""
        return self.tiles.filter(has=self.page.locator("img"))

    @property
    def busy(self) -> Locator:
        """The tiles that show progress."""
        return self.tiles.filter(has=self.page.locator(".nbp-busy"))

    @property
    def looks(self) -> Locator:
        """The thumbnails of the pictures to go by."""
        return self.root.locator(".nbp-look")

    @property
    def large(self) -> Locator:
        """What takes the place of the chosen picture for a while."""
        return self.root.locator(".nbp-large:not(.nbp-off)")

    def button(self, words: str) -> Locator:
        """The button that is shown and has exactly these words on it."""
        exactly = re.compile(f"^\\s*{re.escape(words)}\\s*$")
        return self.root.locator("button:visible").filter(has_text=exactly)

    def line(self, words: str | re.Pattern[str]) -> Locator:
        """The message that is shown and holds these words."""
        return self.root.locator(".nbp-said:visible").filter(has_text=words)

    def wait(self) -> None:
        """Wait until the panel is there and has looked into its home."""
        self.prompt.wait_for()
        expect(self.root.get_by_text("Opening the gallery")).to_have_count(0)

    # ------------------------------------------------------------------ what is done

    def type_prompt(self, text: str, delay: float = 0) -> None:
        """Put this in the place of the prompt, key by key."""
        self.type(self.prompt, text, delay)

    def type(self, field: Locator, text: str, delay: float = 0) -> None:
        """Put this in the place of what stands in a field, key by key."""
        field.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.press("Delete")
        self.page.keyboard.type(text, delay=delay)

    def draw(self, text: str) -> None:
        """Type a prompt and click Generate, without waiting for anything."""
        self.type_prompt(text)
        self.generate.click()

    def choose(self, place: int) -> None:
        """Click a tile, counted from the newest."""
        self.tiles.nth(place).locator("button.nbp-pick").click()

    def choose_option(self, group: str, words: str) -> None:
        """Click one of the `ratio` or `format` buttons."""
        self.root.locator(f".nbp-{group} button").filter(has_text=exactly(words)).click()

    def drop(self, *files: File, onto: Locator | None = None, **texts: str) -> bool:
        """Drop files or texts (`uri_list`, `plain`); whether the page would have handled it."""
        return self._hand_over(onto or self.root, "drop", files, texts)

    def paste(self, *files: File, into: Locator | None = None, **texts: str) -> bool:
        """Paste files or texts; whether the page went on with it as usual."""
        return self._hand_over(into or self.prompt, "paste", files, texts)

    def _hand_over(
        self, target: Locator, event: str, files: Sequence[File], texts: dict[str, str]
    ) -> bool:
        import base64

        given = [
            {
                "name": file.name,
                "type": file.type,
                "base64": base64.b64encode(file.data).decode(),
                "blanks": file.blanks,
            }
            for file in files
        ]
        kinds = {f"text/{kind.replace('_', '-')}": text for kind, text in texts.items()}
        went_on: bool = target.evaluate(
            _HAND_OVER, {"event": event, "files": given, "texts": kinds}
        )
        return went_on

    # ------------------------------------------------------------------ what is seen

    def watch_tiles(self) -> None:
        """From now on, note what the tiles show and when."""
        self.root.evaluate(_WATCH_TILES)

    def tiles_seen(self) -> list[dict[str, Any]]:
        """What the tiles have shown, each with `at` in milliseconds."""
        seen: list[dict[str, Any]] = self.page.evaluate("window.tilesSeen")
        return seen

    def captions(self) -> list[str]:
        """The prompts below the tiles, newest first."""
        return [text.strip() for text in self.tiles.locator(".nbp-caption").all_inner_texts()]

    def check_picture(self, image: Locator) -> None:
        """A person sees this picture, and a screen reader has words for it."""
        image.scroll_into_view_if_needed()
        expect(image).to_be_visible()
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.naturalWidth") > 50
        assert image.get_attribute("alt")

    def tab_through(self, most: int = 120) -> list[dict[str, str]]:
        """Every control that Tab reaches from the prompt on, in its order: `tag` and `name`."""
        self.prompt.click()
        found = []
        for _ in range(most):
            focused = self.page.evaluate(_NAME_OF_FOCUSED)
            if focused is None:
                return found
            found.append(focused)
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not leave the panel: {found[-10:]}")


def exactly(words: str) -> re.Pattern[str]:
    """These words and nothing else."""
    return re.compile(f"^\\s*{re.escape(words)}\\s*$")


def expect(target: Locator) -> Any:
    """Playwright's waiting assertions; imported late, so that tests can be collected without it."""
    from playwright.sync_api import expect as playwright_expect

    return playwright_expect(target)


def until(seen: Callable[[], Any], page: Page, seconds: float = 20) -> Any:
    """Wait until this gives something true, and return that; the page goes on meanwhile."""
    for _ in range(int(seconds * 20)):
        if found := seen():
            return found
        page.wait_for_timeout(50)
    raise AssertionError(f"not seen in {seconds:.0f} s: {seen()!r}")
