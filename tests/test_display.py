"""What a cell shows: every fact in HTML and in text, and nothing foreign that becomes markup."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from nanobanana_nb import display
from nanobanana_nb.display import Bundle, Card

HOSTILE = (
    "<img src=x onerror=alert(1)>\"' onload='x' </div><script>alert(2)</script>"
    "\u202egpj.exe\u2066\u200b\x1b[31m\r\n&lt;b&gt; {0} "
)
LONG = (HOSTILE * 100)[:5000]
OURS = {"div", "span", "b", "br", "code", "ul", "li", "figure", "figcaption", "img"} | {
    "table", "tbody", "tr", "th", "td",
}  # fmt: skip
ATTRIBUTES = {"class", "style", "role", "title", "alt", "src", "width", "height", "scope"} | {
    "onload", "aria-label", "aria-valuenow", "aria-valuemin", "aria-valuemax",
}  # fmt: skip


class Page(HTMLParser):
    """What a browser makes of it: its words, the tags it saw, and whether all were closed."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.words = ""
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(bundle["text/html"])
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def picture(**more: object) -> Card:
    facts = ("1024 × 1024 png", "17.3 s")
    given = {"preview": b"jpeg", "width": 1024, "height": 1024, "facts": facts, "price": "$0.03"}
    return Card(**({"prompt": "a fox", "folder": "~/fox", "file": "fox.png"} | given | more))


def refused(**more: object) -> Card:
    return Card(**({"prompt": "a fox", "problem": "Refused.", "state": "rejected"} | more))


def in_doubt(**more: object) -> Card:
    facts = ("2026-11-05 14:03", "attempt 1a2b3c4d")
    given = {"problem": "No answer.", "state": "unknown", "attempt": "1a2b3c4d", "price": "$0.03"}
    return Card(**({"prompt": "a lighthouse", "facts": facts} | given | more))


def gallery(*cards: Card) -> Bundle:
    return display.gallery_card(list(enumerate(cards)), "pictures", "$0.06", b"")


def history(*cards: Card) -> Bundle:
    return display.history_card(cards, "2 pictures, $0.06", "1 failed", "9 more", b"")


_ALL = {"prompt": LONG, "remarks": (LONG, LONG), "starred": True, "facts": (LONG, LONG)}
_GAP = {"problem": LONG, "attempt": "", "price": LONG}
KINDS: dict[str, Callable[[], Bundle]] = {
    "picture": lambda: display.picture_card(picture(**_ALL, folder=LONG, file=LONG)),
    "no file": lambda: display.picture_card(picture(**_ALL, preview=b"")),
    "failure": lambda: display.picture_card(refused(**_ALL, problem=LONG)),
    "in doubt": lambda: display.picture_card(in_doubt(**_ALL | _GAP | {"attempt": LONG})),
    "gallery": lambda: gallery(picture(**_ALL), picture()),
    "gallery of gaps": lambda: gallery(
        *(refused(**_ALL, problem=LONG) for _ in range(3)),
        in_doubt(**_ALL | {"attempt": LONG, "problem": LONG}),
        in_doubt(**_ALL | {"attempt": LONG, "problem": LONG}),
        in_doubt(**_ALL | {"attempt": LONG, "problem": f"x {LONG}"}),
    ),
    "history": lambda: history(
        picture(**_ALL),
        picture(**_ALL, preview=b""),
        refused(**_ALL | _GAP | {"state": LONG}),
        in_doubt(**_ALL | _GAP | {"attempt": LONG}),
    ),
    "comparison": lambda: display.comparison_card(
        picture(**_ALL, folder=LONG, file=LONG), picture(**_ALL, folder=LONG, file=LONG), b"jpeg"
    ),
    "headlines": lambda: display.history_card([], LONG, LONG, LONG, b""),
    "account": lambda: display.account_card([(LONG, LONG)] * 2, [LONG]),
    "line": lambda: display.line(LONG),
    "notice": lambda: display.notice(LONG),
    "progress": lambda: display.progress_card(display.Summary(LONG, (LONG,), 0.5)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_text_never_becomes_markup(kind: str) -> None:
    """Tags, quotes, direction marks and 5,000 characters from a server stay words, cut short."""
    bundle = KINDS[kind]()
    page = Page(bundle)
    assert page.open == []
    assert set(page.tags) <= OURS
    assert {name for name, _ in page.attributes} <= ATTRIBUTES
    styles = [value for name, value in page.attributes if name in ("style", "class", "role")]
    assert not any("alert" in value for value in styles)
    assert "<img src=x onerror" in page.words
    for text in (page.words, bundle["text/plain"].replace("\n", " ")):
        assert not [c for c in text if c < " " or c in "\u202e\u2066\u200b"]
        assert len(text) < 9_000


def test_no_foreign_text_reaches_a_handler() -> None:
    """The only code in a page is that of the slider, and no word of a picture stands in it."""
    handlers = {
        kind: [value for name, value in Page(make()).attributes if name == "onload"]
        for kind, make in KINDS.items()
    }
    assert {kind for kind, found in handlers.items() if found} == {"comparison"}
    plain = Page(display.comparison_card(picture(), picture()))
    assert handlers["comparison"] == [v for name, v in plain.attributes if name == "onload"]


def test_a_comparison_says_what_is_compared() -> None:
    """Which is A and which is B, with prompt, size and file, in HTML and in text."""
    left, right = picture(), picture(prompt="an owl", file="owl.png")
    bundle = display.comparison_card(left, right, b"sheet")
    words = Page(bundle).words
    assert "A a fox1024 × 1024 png" in words
    assert "B an owl1024 × 1024 png" in words
    assert bundle["text/plain"].splitlines() == [f"A {left.text}", f"B {right.text}"]
    assert bundle["image/jpeg"] == "c2hlZXQ="


def test_a_comparison_without_one_of_its_pictures_has_no_slider() -> None:
    """Where a preview is missing there is a word instead, and nothing to slide."""
    bundle = display.comparison_card(picture(), picture(preview=b""))
    page = Page(bundle)
    assert "onload" not in dict(page.attributes)
    assert "The file is not there any more." in page.words
    assert "image/jpeg" not in bundle


def test_what_may_have_been_billed_is_told_in_full() -> None:
    """Money at risk: price, time, id, cause, prompt and each way out, in HTML and in text."""
    bundle = display.picture_card(in_doubt(remarks=("Note: for the poster",)))
    told = [
        "May have been billed: $0.03",
        "2026-11-05 14:03 · attempt 1a2b3c4d",
        "No answer.",
        "“a lighthouse”",
        "Note: for the poster",
        "Check the balance",
        "%nanobanana_balance",
        "Submit it again, may cost another $0.03",
        "%nanobanana_again 1a2b3c4d",
        "Dismiss it, once that is settled",
        "%nanobanana_dismiss 1a2b3c4d",
    ]
    for text in (Page(bundle).words, bundle["text/plain"].replace("billed: $0.03 · ", "")):
        assert [words for words in told[1:] if words not in text] == []
    assert Page(bundle).words.startswith(told[0])
    assert bundle["text/plain"].startswith(told[0])
    html = bundle["text/html"]
    codes = [f"{code}</code>" for code in told if code.startswith("%")]
    assert all(f'user-select:all">{code}' in html for code in codes)  # one click takes it whole


def test_a_gallery_names_every_attempt_that_may_have_been_billed() -> None:
    """Folded for one reason or not, no id is lost, be there 300 of them."""
    many = [in_doubt(attempt=f"{n:08x}") for n in range(300)]
    bundle = gallery(*many)
    for text in (Page(bundle).words, bundle["text/plain"]):
        assert [n for n in range(300) if f"[{n}] {n:08x}" not in text] == []
        assert "[0]-[299] 300 may have been billed: $0.03 each" in text
        assert "%nanobanana_again ID" in text
    alone = gallery(picture(), in_doubt())
    for text in (Page(alone).words, alone["text/plain"]):
        assert "[1]" in text
        assert "%nanobanana_again 1a2b3c4d" in text
        assert "%nanobanana_dismiss 1a2b3c4d" in text


def test_failures_for_one_reason_are_told_once() -> None:
    """Fifty tasks that one reason stopped are one card; the pictures keep their own index."""
    poor = [refused(prompt=f"fox {n}", problem="No money.") for n in range(46)]
    bundle = gallery(picture(), refused(), picture(), *poor, refused(), picture())
    page = Page(bundle)
    for text in (page.words, bundle["text/plain"]):
        assert text.count("No money.") == 1
        assert text.count("Refused.") == 1
        assert "[3]-[48] 46 not drawn" in text
        assert "[1], [49] 2 not drawn" in text
    assert "“fox 0”, “fox 1” and 44 more" in page.words
    assert [f"[{n}]" in bundle["text/html"].split("role=")[0] for n in (0, 2, 50)] == [True] * 3
    lines = bundle["text/plain"].splitlines()[1:]
    starts = ["[0]", "[1], [49]", "[2]", "[3]-[48]", "[50]"]
    assert [line.strip().startswith(s) for line, s in zip(lines, starts, strict=True)] == [True] * 5


def test_different_failures_are_not_folded() -> None:
    """Only what failed for the same reason is told together."""
    bundle = gallery(refused(), refused(problem="Other."), refused(state="expired"))
    assert bundle["text/html"].count('role="note"') == 3
    assert len(bundle["text/plain"].splitlines()) == 4


def test_scattered_numbers_stay_short() -> None:
    """Every second of 100 failed: the card does not count them all up."""
    every_second = [picture() if n % 2 else refused() for n in range(100)]
    assert (
        "[0], [2], [4], [6], [8], [10], [12], [14], … 50 not drawn"
        in gallery(*every_second)["text/plain"]
    )


def test_what_a_list_shows() -> None:
    """Index, prompt, facts, star, note, state and money at risk, in HTML and in text."""
    when = ("2026-11-05 14:03", "16:9", "png")
    bundle = history(
        picture(facts=when, starred=True, remarks=("Note: for the poster",)),
        refused(facts=when),
        in_doubt(facts=(*when, "attempt 1a2b3c4d")),
        refused(facts=when, state="submitted", problem="Wait for it."),
    )
    for text in (Page(bundle).words, bundle["text/plain"]):
        for words in (
            "2 pictures, $0.06",
            "1 failed",
            "9 more",
            *("[0]", "[1]", "[2]", "[3]", "★", "a fox", "16:9 · png · $0.03"),
            *(
                "2026-11-05 14:03",
                "Note: for the poster",
                "Refused.",
                "May have been billed: $0.03",
            ),
            *("%nanobanana_again 1a2b3c4d", "%nanobanana_dismiss 1a2b3c4d"),
        ):
            assert words in text
        assert "refused, not billed" in text.lower()
        assert "being drawn" in text.lower()
    words = Page(bundle).words
    assert words.index("No picture") < words.index("[1]") < words.index("Not yet")


def test_a_list_without_failures_has_no_loose_ends() -> None:
    """Nothing to add to the headline: no dot dangles behind it."""
    bundle = display.history_card([], "1 picture, $0.03", "", "", b"sheet")
    assert Page(bundle).words == bundle["text/plain"] == "1 picture, $0.03"
    assert bundle["image/jpeg"] == "c2hlZXQ="


def test_the_account_is_a_table() -> None:
    """Amounts stand below each other, in HTML by the table and in text by blanks."""
    rows = [("Balance", "$12.34"), ("Spent in this session", "$0.09")]
    bundle = display.account_card(rows, ["Something else uses the key."])
    assert bundle["text/plain"].splitlines() == [
        "Balance                $12.34",
        "Spent in this session   $0.09",
        "Something else uses the key.",
    ]
    page = Page(bundle)
    assert page.tags.count("tr") == page.tags.count("th") == page.tags.count("td") == 2
    assert bundle["text/html"].count("tabular-nums") == 2
    assert bundle["text/html"].count("text-align:right") == 2
    assert page.words.endswith("Something else uses the key.")


def test_an_account_without_remarks() -> None:
    """Nothing to remark leaves nothing behind."""
    assert display.account_card([("Balance", "$1.00")], [])["text/plain"] == "Balance  $1.00"
    assert display.account_card([], [])["text/plain"] == ""
