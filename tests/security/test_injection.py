"""Nothing from the server, a prompt or a file is ever markup, a template or a terminal's command.

Table H of the security checklist, as far as it needs no browser; what a real one makes of it is in
`tests/front_ends/test_hostile.py`.
"""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import nanobanana_nb as nb
from nanobanana_nb import NanoBananaError, Studio, markup, metadata, protocol, recipes, telling
from nanobanana_nb.batches import Batch
from nanobanana_nb.comparing import compare
from nanobanana_nb.display import Bundle
from nanobanana_nb.metadata import Drawn
from nanobanana_nb.models import Failed
from nanobanana_nb.presets import read as read_styles
from nanobanana_nb.prompting import parse
from nanobanana_nb.protocol import Answer
from nanobanana_nb.results import Generation
from nanobanana_nb.voice import Voice

from ..conftest import settings_for
from ..panel.hand import OPENED, every, opened
from ..panel.test_tiles import Shape
from ..test_pictures import encoded, noisy
from ..test_retry_matrix import Server, answer, sends
from . import views
from .hostile_strings import HOSTILE, MEGABYTE, TEXT, UNSEEN, storable

PACKAGE = Path(nb.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(PACKAGE.rglob("*.js"))
OURS = {"text/html", "text/plain", "image/jpeg", "application/vnd.jupyter.widget-view+json"}
"""The kinds of output that there are: none in which text is a program."""
EVIL = "a\x1b[31m\x9b2J\u202eb\u2066<b>\u200b\rc\x07"
PIECES: dict[str, Callable[[str], str]] = {
    **{
        name: lambda text, make=make: make(text)["text/html"]
        for name, make in views.BUNDLES.items()
    },
    **views.PANEL,
    "page": lambda text: views.page([text, f"{text} "]),
}
"""Everything that becomes HTML, by what it shows."""
UNCHANGED = "code to copy"
"""What is copied is what was typed, to the character."""


def outline(page: str) -> list[object]:
    """The tags with all that is in them, but for words, and for widths that follow the words."""
    found = []
    for tag in Shape(page).tags:
        if isinstance(tag, tuple) and isinstance(tag[1], list):
            tag = (tag[0], [(name, re.sub(r"\d+px", "px", value or "")) for name, value in tag[1]])
        found.append(tag)
    return found


@cache
def made(view: str, text: str) -> str:
    """That piece of HTML with this text in every field."""
    return PIECES[view](text)


def steering(text: str) -> set[str]:
    """The characters in it that steer, turn or hide, but for the ends of lines."""
    return set(text) & UNSEEN - {"\n"}


# ------------------------------------------------------------------ H1, H2: markup


def test_h1_there_are_enough_texts() -> None:
    """The issue asks for sixty, each of its own kind."""
    assert len(set(HOSTILE.values())) == len(HOSTILE) >= 60


@pytest.mark.parametrize("view", PIECES)
def test_h1_h2_text_stays_text_in_every_field(view: str) -> None:
    """No tag, attribute, comment or value of ours is another one than with a plain text."""
    plain = outline(made(view, "a fox"))
    for kind, text in HOSTILE.items():
        if kind == "blanks":  # what says nothing is left out, with its tags
            continue
        assert outline(made(view, text)) == plain, kind
        made(view, text).encode()  # half a pair would keep all of it from being sent


@pytest.mark.parametrize("view", PIECES)
def test_h2_there_are_no_links_and_no_code_but_ours(view: str) -> None:
    """No link at all, pictures in the page itself; with `test_h1_h2_text...` that holds for every
    text, because no attribute but words changes with it."""
    for tag in outline(made(view, "a fox")):
        if isinstance(tag, tuple) and isinstance(tag[1], list):
            has = dict(tag[1])
            assert tag[0] not in ("a", "form", "iframe", "object", "embed", "base", "script")
            assert not {"href", "srcset", "action", "formaction", "data", "srcdoc"} & set(has)
            inside = "data:image/jpeg;base64,"
            assert has.get("src", inside).startswith(inside)


def test_h2_links_of_the_sandbox_are_its_own() -> None:
    """The only page with links of ours leads to itself, by addresses that we have written."""
    text = (PACKAGE / "sandbox" / "page.py").read_text(encoding="utf-8")
    links = re.findall(r'href="([^"]*)"', text)
    assert links
    for link in links:
        assert link in ("{_icon()}", "/openapi.json", "/sandbox/account") or link.startswith(
            "/sandbox/pictures/{task.id}"
        )


def test_h1_what_the_api_says_is_text(tmp_path: Path) -> None:
    """Error messages, fail codes, fail messages, a gateway's page, headers: over a real socket."""
    said = [text for text in storable().values() if len(text) < 300][::3]
    acts = []
    for text in said:
        body = json.dumps({"code": 400, "message": text, "data": {"error": {"message": text}}})
        acts.append(sends(answer(400, body.encode())))
    with Server(*acts, acts[-1]) as server:
        studio = Studio(settings_for(server.url, tmp_path / "home", sandbox="never"))
        drawn = [studio.wait(studio.gallery("a fox", new=True))[0] for _ in said]
        studio.close()
    assert len(drawn) == len(said)
    for one in drawn:
        check_object(one)
        assert one.error is not None
        check_error(one.error)


@pytest.mark.parametrize("kind", HOSTILE)
def test_h1_h3_every_answer_of_the_api(kind: str) -> None:
    """Whatever an answer holds, the error that comes of it is one line of plain text."""
    text = HOSTILE[kind]
    words = text.encode("utf-8", "surrogatepass")
    bodies = [
        words,
        b"<html><body><h1>" + words + b"</h1></body></html>",
        json.dumps({"code": 429, "message": text}).encode(),
        json.dumps({"code": text, "message": {"a": text}, "data": {text: text}}).encode(),
        json.dumps({"code": 200, "data": {"taskId": text}}).encode(),
        json.dumps({"code": 200, "data": {"balance": text, "credits": text}}).encode(),
        json.dumps(
            {"code": 200, "data": {"state": "failed", "failCode": text, "failMsg": text}}
        ).encode(),
        json.dumps({"code": 200, "data": {"state": text, "resultJson": text}}).encode(),
    ]
    readers = (protocol.read_submit, protocol.read_status, protocol.read_balance)
    for status in (200, 302, 400, 403, 418, 429, 500, 599):
        for body in bodies:
            for reader in readers:
                try:
                    found = reader(Answer(status, body))
                except NanoBananaError as error:
                    check_error(error)
                else:
                    if isinstance(found, Failed):
                        check_error(protocol.task_failed(found, "task-1"))


def check_error(error: BaseException) -> None:
    """It is one line in a notebook, a terminal and a program, and nothing in it steers."""
    (line,) = error._render_traceback_()  # type: ignore[attr-defined]
    for told in (line, str(error), telling.error_line(error)):
        assert not steering(told)
        told.encode()
        assert len(told) < 1500
    assert "1337" not in line


def check_object(shown: Any) -> None:
    """Its HTML has the tags that it has with a plain text; it steers nothing; MathJax is kept off;
    there is a text form, and a picture where there are pictures."""
    bundle: Bundle = shown._repr_mimebundle_()
    check_bundle(bundle)
    assert not steering(repr(shown))


def check_bundle(bundle: Bundle) -> None:
    assert bundle["text/plain"].strip()
    assert set(bundle) <= OURS
    tags = Shape(bundle["text/html"]).tags
    names = {tag[0] for tag in tags if isinstance(tag, tuple)}
    assert names <= ALLOWED
    assert f"<div {markup.ROOT}" in bundle["text/html"]
    for text in (bundle["text/html"], bundle["text/plain"]):
        assert not steering(text)
        text.encode()


ALLOWED = {
    *("div", "span", "b", "br", "code", "ul", "ol", "li", "figure", "figcaption", "img"),
    *("table", "caption", "colgroup", "col", "thead", "tbody", "tr", "th", "td", "style"),
    *("details", "summary"),
}


def hostile_studio(studio: Studio, home: Path) -> list[Generation]:
    """All that a ledger full of hostile texts holds, as people get it."""
    count = views.fill(home, list(storable().values()))
    found = list(studio.wait(studio.history()))
    assert len(found) == count - len(storable())  # a refused one is no history
    return found


def test_h1_h3_results_of_a_hostile_ledger(studio: Studio, tmp_path: Path) -> None:
    """Results, galleries, batches, histories, lineages and comparisons show it as text, in a
    notebook and in a terminal; a table has it as it is."""
    found = hostile_studio(studio, tmp_path / "home")
    for one in found:
        check_object(one)
    for start in range(0, len(found), 60):
        check_object(nb.Gallery(found[start : start + 60]))
    keys = [f"{number} {one.prompt}" for number, one in enumerate(found)]
    check_object(Batch(found[:60], keys[:60]))
    history = studio.wait(studio.history())
    for start in range(0, len(found), 20):
        check_object(history[start : start + 20])
    drawn = [one for one in found if one.images]
    for one in drawn[:30]:
        check_object(studio.wait(studio.lineage(one.id)))
    check_object(compare(drawn[0], drawn[1]))
    check_object(studio.wait(studio.history(EVIL)))
    table = history.to_pandas()
    assert list(table["prompt"]) == [one.prompt for one in found]


def test_h1_h3_a_panel_over_a_hostile_ledger(studio: Studio, tmp_path: Path) -> None:
    """Tiles, their buttons and tooltips, details, messages: on every page of the gallery."""
    views.fill(tmp_path / "home", list(storable().values())[::2][:40])
    hand = opened(studio)
    hand.says("1–12 of 200", "range")
    hand.add(f"{EVIL}.png")
    hand.says("is neither a link", "error")
    seen: set[str] = set()
    for page in range(4):
        hand.says(f"{1 + 12 * page}–", "range")
        # Newest first, five of each text; the fifth has its picture.
        hand.choose(4 - 12 * page % 5)
        hand.press("Link and path")
        for widget in every(hand.panel.widget):
            classes = set(widget._dom_classes)
            for name in ("value", "description", "tooltip"):
                text = getattr(widget, name, None)
                if isinstance(text, str) and not classes & {"nbp-note", "nbp-link", "nbp-error"}:
                    assert not steering(text), (classes, name)
                    text.encode()
                    seen |= classes
        hand.press("Older")
    assert {"nbp-picture", "nbp-pick", "nbp-told", "nbp-shown"} <= seen
    OPENED.pop().close()


# ------------------------------------------------------------------ H3: what steers and hides


@pytest.mark.parametrize("view", [name for name in PIECES if name != UNCHANGED])
def test_h3_nothing_steers_turns_or_hides(view: str) -> None:
    """Escapes, directions, NULs and what cannot be seen, in the HTML and in the text."""
    for kind, text in HOSTILE.items():
        assert not steering(made(view, text)), kind
        if view in views.BUNDLES:
            assert not steering(views.BUNDLES[view](text)["text/plain"]), kind


@pytest.mark.parametrize("view", ["card, failed", "progress", "line", "money", "messages"])
def test_h3_a_megabyte_is_cut(view: str) -> None:
    """What nobody reads is not kept in a notebook."""
    assert len(PIECES[view](MEGABYTE)) < 20_000
    if view in views.BUNDLES:
        assert len(views.BUNDLES[view](MEGABYTE)["text/plain"]) < 6_000


def test_h3_what_is_typed_comes_back_in_an_error_and_steers_nothing(
    studio: Studio, tmp_path: Path
) -> None:
    """Names of files, columns and keys of a batch, links, options, styles, axes, places."""
    here = tmp_path / EVIL
    here.mkdir()
    for name, text in {
        "none.png": "no picture",
        "columns.csv": f"key,{EVIL}\n1,2\n",
        "keys.csv": f"key,prompt\n{EVIL!r},a\n{EVIL!r},b\n",
        "fields.jsonl": json.dumps({EVIL: 1}) + "\n" + json.dumps({"prompt": "x", "ratio": EVIL}),
        "nothing.json": EVIL,
        "dict.json": json.dumps({EVIL: {"prompt": ""}}),
        "styles.toml": "[x]\nprompt = 1",
        "more.toml": f"{json.dumps(EVIL)} = 1",
    }.items():
        (here / name).write_text(text, encoding="utf-8")
    wait = studio.wait
    asked: list[Callable[[], object]] = [
        *(lambda f=f: nb.load(here / f) for f in ("none.png", "gone.png", EVIL)),
        lambda: nb.load(EVIL),
        lambda: nb.compare(EVIL, EVIL),
        lambda: nb.compare(here / "none.png", here / "none.png"),
        *(lambda f=f: wait(studio.edit(here / f, "x")) for f in ("none.png", "gone.png")),
        lambda: wait(studio.edit(f"https://{EVIL}", "x")),
        lambda: wait(studio.edit("https://[x]/a.png", "x")),
        lambda: wait(studio.edit(f"https://127.0.0.1:9/{EVIL}", "x")),
        lambda: wait(studio.generate("x", style=EVIL)),
        lambda: wait(studio.generate("x", aspect_ratio=EVIL)),
        lambda: wait(studio.generate("x", output_format=EVIL)),
        *(lambda verb=verb: wait(verb(EVIL)) for verb in (studio.dismiss, studio.submit_again)),
        lambda: wait(studio.resume(EVIL)),
        lambda: wait(studio.get(EVIL)),
        lambda: wait(studio.history(since=EVIL)),
        *(lambda f=f: wait(studio.batch(here / f)) for f in ("columns.csv", "keys.csv", "x.csv")),
        *(lambda f=f: wait(studio.batch(here / f)) for f in ("fields.jsonl", "nothing.json")),
        lambda: wait(studio.batch(here / "dict.json")),
        lambda: wait(studio.batch(EVIL)),
        lambda: wait(studio.batch(here / "keys.csv", column=EVIL)),
        lambda: wait(studio.batch({EVIL: 5})),
        lambda: wait(studio.batch([{"prompt": "x", "image": EVIL}])),
        lambda: wait(studio.grid("a {x}", **{EVIL: [1, 2]})),
        lambda: parse(f"--{EVIL} x"),
        *(lambda f=f: read_styles([here / f]) for f in ("styles.toml", "more.toml", "none.toml")),
        lambda: Batch([], [])[EVIL],
    ]
    for number, ask in enumerate(asked):
        with pytest.raises(NanoBananaError) as refused:
            ask()
        assert not steering(str(refused.value)), number
        (line,) = refused.value._render_traceback_()
        assert not steering(line)


@pytest.mark.parametrize("kind", TEXT)
def test_h3_a_command_steers_no_terminal(kind: str, capsysbinary: Any) -> None:
    """Lines for people, columns for programs and JSON: of whatever text."""
    text = TEXT[kind]
    voice = Voice(as_json=True)
    voice.warn(text)
    voice.line(f"  {text}\t{text}")
    voice.document({text: text, "list": [text]}, readable=True)
    out, err = (raw.decode("utf-8") for raw in capsysbinary.readouterr())
    assert not steering(out.replace("\t", ""))
    assert not steering(err)
    assert err.count("\n") == 1
    assert json.loads(out[out.index("{\n") :])["list"] == [text]


@pytest.mark.parametrize("kind", storable())
def test_h1_h3_what_a_picture_says_of_itself(kind: str) -> None:
    """`nb.load` of a stranger's file: our note and other tools' words, from the file's own text."""
    text = storable()[kind]
    plain = encoded(noisy(8, 8), "PNG")
    ancestor = Drawn(text, "1:1", "png")
    recipe = recipes.load(metadata.embed(plain, Drawn(text, "1:1", "png", lineage=(ancestor,))))
    assert recipe.source == "file"
    assert recipe.prompt == text
    check_object(recipe)


# ------------------------------------------------------------------ H4: templates


@pytest.mark.parametrize("view", PIECES)
def test_h4_templates_are_words(view: str) -> None:
    """Braces, dollars and per cents arrive as they were typed, and nothing is computed."""
    for kind in (
        "double braces",
        "dollar braces",
        "other templates",
        "a format",
        "a per cent format",
    ):
        words = html.unescape(made(view, TEXT[kind]))
        assert TEXT[kind][:40] in words
        assert "1337" not in words
        assert "<class" not in words


def test_h4_no_template_is_filled_with_foreign_text() -> None:
    """`str.format` takes attributes of what it is given: it is used on one text of our own, and
    neither `%` on a text nor `string.Template` is used at all."""
    found = []
    for path, node in nodes():
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in ("format", "format_map"):
            found.append(f"{path.name}: {ast.unparse(called)}")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            assert not isinstance(node.left, ast.Constant | ast.JoinedStr) or not isinstance(
                getattr(node.left, "value", ""), str
            ), f"{path.name}:{node.lineno}"
        if isinstance(node, ast.ImportFrom | ast.Import):
            assert not re.search(r"\b(jinja2|mako|string)\b", ast.unparse(node)), path.name
    assert found == ["arguments.py: _USAGE.format"]


# ------------------------------------------------------------------ H5, H6, H7: front ends


def test_h5_text_is_shown_as_text_or_as_our_own_html() -> None:
    """Never as Markdown, LaTeX, SVG or JavaScript: neither by the kinds of our outputs nor by
    IPython's classes for them."""
    for view, make in views.BUNDLES.items():
        assert set(make("a fox")) <= OURS, view
    kinds = re.compile(r"(text/(markdown|latex|javascript)|application/javascript|image/svg\+xml)")
    classes = {"Markdown", "Latex", "Math", "SVG", "Javascript", "HTML", "IFrame", "HTMLMath"}
    for path, node in nodes():
        if "sandbox" in path.parts:  # no notebook's: its page has an icon of its own
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not kinds.fullmatch(node.value), f"{path.name}:{node.lineno}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("IPython.display"):
            assert not classes & {alias.name for alias in node.names}, path.name


@pytest.mark.parametrize("view", [*views.BUNDLES, "page"])
def test_h6_formulas_stay_text(view: str) -> None:
    """MathJax is told to keep off all of it: everything stands in elements of the class that it
    leaves alone, also with several outputs in one."""
    whole = made(view, TEXT["formula"])
    body = whole.partition("<body>")[2] or whole
    depth, left_alone = 0, 0
    for tag in Shape(body).tags:
        if isinstance(tag, tuple) and tag[0] not in ("img", "br", "col", "meta"):
            depth += 1
            if not left_alone and isinstance(tag[1], list):
                classes = str(dict(tag[1]).get("class", "")).split()
                left_alone = depth if set(markup.NO_FORMULAS) <= set(classes) else 0
            assert left_alone
        elif isinstance(tag, str):
            if depth == left_alone:
                left_alone = 0
            depth -= 1


def test_h6_formulas_in_a_panel_stay_text(studio: Studio) -> None:
    """Pages that set formulas as a whole, as Voila and nbconvert do, meet the panel as well."""
    panel = opened(studio).panel
    assert set(markup.NO_FORMULAS) <= set(panel.widget._dom_classes)
    OPENED.pop().close()


def test_h7_widgets_get_text_or_our_own_html() -> None:
    """What is put into a widget that takes HTML was made where everything is escaped; no widget
    sets formulas or takes HTML for its label; no code puts text into a page as HTML."""
    forbidden = {"HTMLMath", "Label", "Output", "Valid"}
    for path, node in nodes():
        if isinstance(node, ast.Attribute):
            assert node.attr not in forbidden or "panel" not in path.parts, path.name
            assert node.attr != "description_allow_html"
        if isinstance(node, ast.keyword):
            assert node.arg not in ("description_allow_html", "tooltip_allow_html"), path.name
        if "panel" in path.parts and isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not re.search(r"<[a-z/!]", node.value), f"{path.name}:{node.lineno}"
    values = list(html_values())
    assert len(values) >= 20
    for path, value, assigned in values:
        assert is_html_of_ours(value, assigned), f"{path.name}: {ast.unparse(value)}"


def html_values() -> Iterator[tuple[Path, ast.expr, dict[str, list[ast.expr]]]]:
    """What the panel puts into widgets that are made with `parts.html`, and what the names in it
    stand for."""
    for path in sorted((PACKAGE / "panel").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assigned: dict[str, list[ast.expr]] = {}
        for node in ast.walk(tree):
            for target in node.targets if isinstance(node, ast.Assign) else ():
                assigned.setdefault(ast.unparse(target), []).append(node.value)
        made = [name for name, of in assigned.items() if "parts.html(" in ast.unparse(of[0])]
        holders = {"self._notice", "self._form.money", *made}
        for node in calls:
            called = ast.unparse(node.func)
            holder = ast.unparse(node.args[0]) if node.args else ""
            if called == "parts.html":
                yield from ((path, one, assigned) for one in node.args[1:])
            if called == "self._overlay.show":
                yield path, node.args[1], assigned
            if called == "self._brush.set" and holder.removesuffix("[place]") in holders:
                yield from ((path, k.value, assigned) for k in node.keywords if k.arg == "value")


def is_html_of_ours(value: ast.expr, assigned: dict[str, list[ast.expr]]) -> bool:
    """Whether it comes from the markup floor, or is empty."""
    match value:
        case ast.Constant(value=""):
            return True
        case ast.IfExp():
            return all(is_html_of_ours(one, assigned) for one in (value.body, value.orelse))
        case ast.Call():
            return ast.unparse(value.func).startswith("tiles.")
        case ast.Attribute(attr="html"):  # of a comparison
            return True
        case ast.Name(id="value" | "text" | "line" as name):
            others = {**assigned, name: [ast.Constant("")]}
            return all(is_html_of_ours(one, others) for one in assigned[name])
        case ast.Name(id="html"):  # what `_overlay.show` was given
            return True
    return False


def test_h7_scripts_put_no_text_into_a_page() -> None:
    """Ours write text as text. What is inserted as HTML are two boxes of ours, in which no name
    stands; the sandbox's page takes the next state of itself from its own address."""
    sinks = re.compile(
        r"innerHTML|outerHTML\s*=|document\.write|\beval\(|new Function|srcdoc|"
        r"createContextualFragment|setHTMLUnsafe|insertAdjacentHTML|setTimeout\(\s*['\"`]"
    )
    for path in SCRIPTS:
        assert not sinks.search(path.read_text(encoding="utf-8")), path.name
    inserted = [
        line.strip()
        for path in MODULES
        for line in path.read_text(encoding="utf-8").splitlines()
        if sinks.search(line)
    ]
    assert inserted == [
        "root.insertAdjacentHTML('beforeend', box);",
        "f\"root.insertAdjacentHTML('beforeend', `{box}`);\"",
    ]
    plain = [made(view, "a fox") for view in ("comparison", "grid, table")]
    for kind, text in HOSTILE.items():
        for view, before in zip(("comparison", "grid, table"), plain, strict=True):
            assert code_in(made(view, text)) == code_in(before), kind


def code_in(page: str) -> list[str]:
    """The values of all handlers."""
    found = []
    for tag in Shape(page).tags:
        if isinstance(tag, tuple) and isinstance(tag[1], list):
            found += [str(value) for name, value in tag[1] if name.startswith("on")]
    assert found
    return found


# ------------------------------------------------------------------ H9: tables


def test_h9_nothing_writes_a_spreadsheet() -> None:
    """So that there is nothing to prefix: a DataFrame is values, and rows of the command are for
    programs. Who begins to write CSV here has to think of `=`, `+`, `-` and `@`."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"csv\.(writer|DictWriter)|to_csv|to_excel|to_clipboard", text), path


@cache
def nodes() -> tuple[tuple[Path, ast.AST], ...]:
    """Every node of every module of the package."""
    trees = [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES]
    return tuple((path, node) for path, tree in trees for node in ast.walk(tree))
