"""The HTML of panel and strips: whatever people and the API say stays text, in every field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from nanobanana_nb import strips, tiles
from nanobanana_nb.display import Card
from nanobanana_nb.strips import Group, Sample
from nanobanana_nb.tiles import Details, Tile

SCRIPT = "alert(1)"
HOSTILE = [
    f"<script>{SCRIPT}</script>",
    f"</script><script>{SCRIPT}</script>",
    f"<img src=x onerror={SCRIPT}>",
    f"<svg onload={SCRIPT}>",
    f"<svg><animate onbegin={SCRIPT} attributeName=x>",
    f"<iframe srcdoc='<script>{SCRIPT}</script>'></iframe>",
    f"<iframe src='javascript:{SCRIPT}'></iframe>",
    "<object data='data:text/html,x'></object>",
    f"<embed src='javascript:{SCRIPT}'>",
    f"<body onload={SCRIPT}>",
    f"<details open ontoggle={SCRIPT}>",
    f"<input autofocus onfocus={SCRIPT}>",
    f"<video><source onerror={SCRIPT}></video>",
    f"<math><mtext><style><img onerror={SCRIPT}></style></mtext></math>",
    f"<noscript><p title='</noscript><img src=x onerror={SCRIPT}>'>",
    f"<a href='javascript:{SCRIPT}'>x</a>",
    f"<a href='&#106;avascript:{SCRIPT}'>x</a>",
    "<base href='https://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<form action='https://evil.example/'><button>x</button></form>",
    "<style>*{display:none}</style>",
    "</style><b>out</b>",
    "</div></div></div><h1>out of the box</h1>",
    "</pre><h1>out of the code</h1>",
    "</figcaption></figure><marquee>x</marquee>",
    "<!-- a comment that never ends",
    "--><b>after a comment</b>",
    "<![CDATA[<b>x</b>]]>",
    "<?php echo 1 ?>",
    "<b",
    "<",
    "&lt;script&gt;",
    "&#60;script&#62;",
    "&amp;lt;b&amp;gt;",
    "&",
    f'" onmouseover="{SCRIPT}',
    f"' onmouseover='{SCRIPT}",
    f'"><img src=x onerror={SCRIPT}>',
    f"'><img src=x onerror={SCRIPT}>",
    f"` onmouseover=`{SCRIPT}",
    f"x onmouseover={SCRIPT} y",
    '" style="position:fixed;inset:0',
    '" autofocus tabindex="0" onfocus="x',
    f"javascript:{SCRIPT}",
    "data:text/html,<script>1</script>",
    f"vbscript:{SCRIPT}",
    "expression(alert(1))",
    "url(https://evil.example/x.png)",
    "}*{display:none",
    "${alert(1)} `${1}`",
    "{{constructor.constructor('alert(1)')()}} <%= 1 %> #{1}",
    r"$\require{html}\href{javascript:alert(1)}{x}$ \(x\) \[x\] $$x$$",
    r"\unicode{<img src=x onerror=alert(1)>}",
    "right \u202e to left \u2066 and \u2069 back \u200f",
    "\x1b[31mred\x1b]0;title\x07\x1b[0m",
    "nul \x00 <b\x00> bell \x07 backspace \x08 \x7f \x9b31m",
    "line\r\nbreaks\u2028and\u2029more\x0b\x0c\x85here",
    "half a pair \ud83d and \udc00",
    "<b>" * 2_000,
    '"' * 6_000,
    "＜script＞alert(1)＜/script＞ \ufeff\u00ad",
]
PLAIN = "a fox"
JPEG = b"\xff\xd8jpeg"


class Shape(HTMLParser):
    """The tags of a piece of HTML and the names of their attributes, in order; and its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[object] = []
        self.values: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # A value of ours is the same whatever the text is; a foreign one stands in these three.
        foreign = ("alt", "title", "aria-label")
        ours = [(name, "" if name in foreign else value) for name, value in attrs]
        self.tags.append((tag, ours))
        self.values += [value or "" for name, value in attrs if name in foreign]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.values.append(data)

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        self.tags.append(("declaration", decl))

    def handle_pi(self, data: str) -> None:
        self.tags.append(("instruction", data))

    def unknown_decl(self, data: str) -> None:
        self.tags.append(("declaration", data))


def cards(text: str) -> Iterator[Card]:
    """Every kind of card, with that text in every field that holds text."""
    common = {"facts": (text, text), "folder": text, "file": text, "remarks": (text, text)}
    yield Card(text, JPEG, 40, 30, price=text, starred=True, **common)
    yield Card(text, price=text, **common)
    yield Card(text, problem=text, state="failed", **common)
    yield Card(text, problem=text, state="rejected", **common)
    yield Card(text, problem=text, state="unknown", attempt=text, price=text, **common)
    yield Card(text, problem=text, state=text, **common)
    for state in ("queued", "sending", "submitted", "parked", "ready"):
        yield Card(text, problem=text, state=state, **common)


FUNCTIONS: dict[str, Callable[[str], list[str]]] = {
    "tile": lambda text: [
        tiles.tile(Tile(card, 3.0, 20.0, note=text, more=2)) for card in cards(text)
    ],
    "shown": lambda text: [tiles.shown(Tile(card, note=text)) for card in cards(text)],
    "told": lambda text: [
        tiles.told(Details(Tile(card), (text, text), [*cards(text)], [*cards(text)]))
        for card in cards(text)
    ],
    "large": lambda text: [tiles.large(JPEG, text)],
    "references": lambda text: [tiles.references([(JPEG, text, text), (b"", text, text)])],
    "said": lambda text: [tiles.said(text), tiles.said(text, bad=True)],
    "account": lambda text: [tiles.account(Decimal(1), text, Decimal(1), 1, text)],
    "clip": lambda text: [tiles.clip([(text, text), (text, text)])],
    "heading": lambda text: [tiles.heading(text)],
    "lineage": lambda text: [
        strips.lineage_card([[Group([*cards(text)], text)]], card, [*cards(text)])["text/html"]
        for card in (*cards(text), Card(text, state=strips.ELSEWHERE))
    ],
    "styles": lambda text: [
        strips.style_card([Sample(text, text, (text, text), text, shown)], text, (text, text))[
            "text/html"
        ]
        for shown in ([], [next(cards(text))])
    ],
}


def test_there_are_enough() -> None:
    """The issue asks for sixty, each of its own kind."""
    assert len(set(HOSTILE)) == len(HOSTILE) >= 60


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(text: str) -> None:
    """No tag, attribute, comment or value of ours is another one than with a plain text."""
    for function in FUNCTIONS.values():
        for plain, made in zip(function(PLAIN), function(text), strict=True):
            assert Shape(made).tags == Shape(plain).tags
            made.encode()  # half a pair would keep the whole widget from being sent


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_unseen_is_passed_on(text: str) -> None:
    """Direction marks, escapes and NULs, which turn a line around or end it; code to copy is the
    exception: it is what was typed."""
    unseen = set("\x00\x07\x08\x1b\x7f\x85\x9b\r\x0b\x0c\u2028\u2029\u202e\u2066\u2069\u200f")
    for name, function in FUNCTIONS.items():
        assert name == "clip" or not unseen & set("".join(function(text)))


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "clip"])
def test_long_text_is_cut(name: str) -> None:
    """A message of the API of a megabyte does not travel to the page with each look."""
    short = [len(made) for made in FUNCTIONS[name]("x")]
    for made, least in zip(FUNCTIONS[name]("x" * 1_000_000), short, strict=True):
        assert len(made) < least + 20_000


def test_code_to_copy_is_what_was_typed() -> None:
    """Quotes, blanks at the ends of lines and all lines, in the text that a click copies."""
    code = "%%nanobanana --n 2\n  <b> & \"c\" 'd'  \n\n\tlast  "
    assert Shape(tiles.clip([("A cell", code)])).values[-1] == code


def test_the_words_of_a_tile() -> None:
    """What is told of each state: the picture, how far it is, or why there is none."""

    def words(card: Card, **more: object) -> str:
        return " ".join(Shape(tiles.tile(Tile(card, **more))).values)

    busy = Card("a fox", problem="x", state="submitted")
    assert "Being drawn 3 s of about 20 s the API is busy" in words(
        busy, elapsed=3.0, expected=20.0, note="the API is busy"
    )
    assert "width:15%" in tiles.tile(Tile(busy, 3.0, 20.0))
    assert "width:95%" in tiles.tile(Tile(busy, 900.0, 20.0))
    assert "Waiting its turn" in words(Card("a fox", problem="x", state="queued"))
    assert "May have been billed ($0.03) lost" in words(
        Card("a fox", problem="lost", state="unknown", attempt="a1", price="$0.03")
    )
    assert "No picture it is not allowed" in words(
        Card("a fox", problem="it is not allowed", state="failed")
    )
    assert "The file is not there any more" in words(Card("a fox"))
    assert "+2" in words(Card("a fox", JPEG), more=2)
    assert "★" in words(Card("a fox", JPEG, starred=True))


def test_the_price_says_how_it_comes_about() -> None:
    """One picture and several."""
    assert Shape(tiles.price(1)).values == ["$0.03"]
    assert "".join(Shape(tiles.price(4)).values) == "4 × $0.03 = $0.12"


def test_the_range_says_where_one_is() -> None:
    """Large numbers can be read; nothing has no range."""
    assert tiles.range_of(13, 24, 5000) == "13–24 of 5,000"
    assert tiles.range_of(1, 0, 0) == ""


def test_the_counter_says_what_is_too_much() -> None:
    """In characters, with how many to cut."""
    assert tiles.counter(12, 5000) == "12 of 5,000"
    assert "5,001 of 5,000: cut 1" in tiles.counter(5001, 5000)
    assert "nbp-bad" in tiles.counter(5001, 5000)
