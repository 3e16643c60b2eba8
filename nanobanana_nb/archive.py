"""`History`: what was drawn, to look through or to reckon with; `Lineage`: what from what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, overload

from . import display, links, previews, strips, tables
from .errors import RequestError
from .protocol import clean
from .results import Gallery, Generation, when

SHOWN: Final = 20
"""Entries that a cell shows; the others are a slice away."""
_PREVIEW: Final = 192
"""Pixels: twice those on the page, for fine screens."""
_PREVIEW_BYTES: Final = 6_000
CHILDREN: Final = 8
"""Children that a lineage shows."""
_STEP: Final = 224
"""Pixels of a picture in a lineage: twice those on the page."""
_STEP_BYTES: Final = 5_000


@dataclass(frozen=True)
class Page:
    """Some of what was drawn, newest first; `total` is how many there are of it on all pages."""

    generations: Gallery
    total: int


@dataclass(frozen=True)
class Lineage:
    """Where a result comes from, and what came of it.

    `parents` are what it was drawn from, in the order of its references, `children` what was drawn
    from it, newest first, and `ancestors` all that led to it, the oldest first. `origins` holds the
    parents of everybody in it, by id.
    """

    itself: Generation
    origins: Mapping[str, Gallery]
    children: Gallery

    @property
    def parents(self) -> Gallery:
        """What it was drawn from, in the order of its references."""
        return self.origins.get(self.itself.id, Gallery(()))

    @property
    def ancestors(self) -> Gallery:
        """All that led to it, the first ones first, each once."""
        found = [one for step in self._steps() for _, sources in step for one in sources]
        return Gallery({one.id: one for one in found if isinstance(one, Generation)}.values())

    def __repr__(self) -> str:
        steps, before = self._groups(_bare)
        children = [_bare(one) for one in self.children[:CHILDREN]]
        return strips.lineage_text(
            steps, _bare(self.itself), children, before=before, more=self._more()
        )

    def _repr_mimebundle_(self, **_: object) -> display.Bundle:
        known: dict[str, display.Card] = {}

        def small(one: Generation) -> display.Card:
            if one.id not in known:
                known[one.id] = _small(one)
            return known[one.id]

        steps, before = self._groups(small)
        itself, children = small(self.itself), [small(one) for one in self.children[:CHILDREN]]
        sheet = previews.contact_sheet([card.preview for card in known.values()])
        return strips.lineage_card(steps, itself, children, sheet, before=before, more=self._more())

    def _more(self) -> int:
        """Children that are not shown."""
        return max(0, len(self.children) - CHILDREN)

    def _groups(
        self, card: Callable[[Generation], display.Card]
    ) -> tuple[list[list[strips.Group]], bool]:
        """What is shown of the way to it, and whether there is more of it."""
        shown, steps = [], self._steps()
        for step in steps:
            groups = []
            for child, sources in step:
                cards = [card(s) if isinstance(s, Generation) else _named(s) for s in sources]
                groups.append(strips.Group(cards, child.prompt if len(step) > 1 else ""))
            shown.append(groups)
        first = [one for _, sources in steps[0] for one in sources] if steps else []
        return shown, any(isinstance(one, Generation) and self._cut_off(one) for one in first)

    def _cut_off(self, one: Generation) -> bool:
        """Whether it was drawn from something that was not looked for any more."""
        return one.id not in self.origins and bool(one.references or one.request.image_urls)

    def _steps(self) -> list[list[tuple[Generation, list[Generation | str]]]]:
        """The way to it: in each step those who were drawn from something, and from what."""
        steps, seen, step = [], {self.itself.id}, [self.itself]
        while step:
            drawn = [(one, self._sources(one)) for one in step if one.id in self.origins]
            if drawn := [pair for pair in drawn if pair[1]]:
                steps.append(drawn)
            step = []
            for _, sources in drawn:
                for source in sources:
                    if isinstance(source, Generation) and source.id not in seen:
                        seen.add(source.id)
                        step.append(source)
        return steps[::-1]

    def _sources(self, one: Generation) -> list[Generation | str]:
        """What it was drawn from, in order: results of this home, others by their names."""
        links, known = one.request.image_urls, self.origins[one.id]
        contents = one.references or links
        found: list[Generation | str] = []
        for content in contents:
            holder = next((each for each in known if _holds(each, content)), None)
            found.append(holder or _name_of(content))
        return found


def _holds(one: Generation, content: str) -> bool:
    """Whether one of its pictures has this content, a sha256 or a link."""
    return any(content in (picture.sha256, picture.url) for picture in one.images)


def _name_of(content: str) -> str:
    """What a picture that is not of this home is called: a link without its query, which may hold
    a signature, or the beginning of its hash."""
    if "://" not in content:
        return f"a file of yours, sha256 {content[:8]}"
    try:
        parts = links.split(content)
    except RequestError:  # a ledger made anew from sidecars has what stood in them
        return "something that is no link"
    return links.shorten(f"{parts.hostname}{parts.path}", 120)


def _named(name: str) -> display.Card:
    return display.Card(name, state=strips.ELSEWHERE)


def _bare(one: Generation) -> display.Card:
    """Its card without a picture, which text does not show; nothing is read for it."""
    return replace(one, maker=None).cards()[0]


def _small(one: Generation) -> display.Card:
    """Its card with a small picture."""
    card = one.cards()[0]
    return replace(card, preview=previews.shrink(card.preview, _STEP, _STEP_BYTES))


class History(Gallery):
    """Generations of this home, newest first; a slice of it is a `History`.

    `asked` is what was looked for, in words, and is named when nothing was found.
    """

    def __init__(self, generations: Iterable[Generation], asked: str = "") -> None:
        super().__init__(generations)
        self.asked = asked

    @overload
    def __getitem__(self, index: int) -> Generation: ...

    @overload
    def __getitem__(self, index: slice) -> History: ...

    def __getitem__(self, index: int | slice) -> Generation | Gallery:
        return super().__getitem__(index)

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each; `created` in UTC, `cost` in US dollars."""
        return tables.frame(self)

    def __repr__(self) -> str:
        if not self:
            return self._nothing()
        return "\n".join(display.history_lines(self._entries(), *self._headline(), self._more()))

    def _repr_mimebundle_(self, **_: object) -> display.Bundle:
        if not self:
            return display.line(self._nothing())
        entries = self._entries()
        sheet = previews.contact_sheet([entry.preview for entry in entries])
        small = [
            replace(entry, preview=previews.shrink(entry.preview, _PREVIEW, _PREVIEW_BYTES))
            for entry in entries
        ]
        return display.history_card(small, *self._headline(), self._more(), sheet)

    def _with(self, generations: Iterable[Generation]) -> History:
        return History(generations, self.asked)

    def _headline(self) -> tuple[str, str]:
        """What there is with its price, and how many have no picture."""
        return f"{self._there_is()}, {self._spent()}", " · ".join(self._missing())

    def _entries(self) -> list[display.Card]:
        return [_entry(one) for one in self._generations[:SHOWN]]

    def _more(self) -> str:
        left = len(self) - SHOWN
        return f"{left} more: history[{SHOWN}:{min(2 * SHOWN, len(self))}]" if left > 0 else ""

    def _nothing(self) -> str:
        if self.asked:
            return f"Nothing in the history matches “{clean(self.asked)}”."
        return "Nothing was drawn yet. Try: %nanobanana a fox in watercolor"


def _entry(one: Generation) -> display.Card:
    """An entry of the list: the first of its pictures, and what was asked for."""
    first, *others = one.cards()
    facts = [when(one.created), one.request.aspect_ratio, one.request.output_format]
    if others:
        facts.append(f"{1 + len(others)} pictures")
    if first.attempt:
        facts.append(f"attempt {first.attempt}")
    elif not first.price and one.cost > Decimal(0):
        first = replace(first, price=display.money(one.cost))
    return replace(first, facts=tuple(facts))
