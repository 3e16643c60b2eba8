"""Variables, variants, grids and styles, typed in real kernels: the newest one and Colab's."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from nanobanana_nb import RequestError, Studio, sync
from nanobanana_nb.keys import Secret

from .harness.desk import Desk


def prompts(desk: Desk) -> list[str]:
    return [task.prompt for task in desk.tasks]


def test_two_lists_make_a_labelled_grid(desk: Desk) -> None:
    """The count and the price stand first, then the grid, which is also the value."""
    desk.run("animals, moods = ['fox', 'owl', 'cat'], ('calm', 'wild')")
    reply = desk.run("sheet = %nanobanana a {animals}, {moods}")
    assert sorted(prompts(desk)) == sorted(
        f"a {animal}, {mood}" for animal in ("fox", "owl", "cat") for mood in ("calm", "wild")
    )
    line, grid = reply.displays
    assert line["text/plain"] == "3 animals x 2 moods = 6 pictures, $0.18"
    assert {"text/html", "text/plain", "image/jpeg"} <= set(grid)
    assert "<table" in grid["text/html"]
    assert desk.value("(type(sheet).__name__, len(sheet), sheet[5].prompt)") == (
        "Grid", 6, "a cat, wild",
    )  # fmt: skip
    assert desk.value("[(a.name, a.values) for a in sheet.axes]") == [
        ("animals", ("fox", "owl", "cat")),
        ("moods", ("calm", "wild")),
    ]


def test_choices_in_a_cell_magic(desk: Desk) -> None:
    """`{a|b}` works below `%%` too, beside text in braces that is nobody's business."""
    desk.run('%%nanobanana -a 16:9\nA poster: {"size": "a|b"}\n{bold|thin} letters, {{x}}')
    assert sorted(prompts(desk)) == [
        'A poster: {"size": "a|b"}\nbold letters, {{x}}',
        'A poster: {"size": "a|b"}\nthin letters, {{x}}',
    ]
    assert {task.aspect_ratio for task in desk.tasks} == {"16:9"}


def test_local_variables_count_in_a_function(desk: Desk) -> None:
    """In a loop or function its own names are found, lists as well."""
    desk.run(
        "def draw(one, several):\n    return get_ipython().run_line_magic('nanobanana', '-q x')"
    )
    desk.run(
        "def draw(one, several):\n"
        "    %nanobanana -q {one} of {several}\n"
        "for number in range(2):\n"
        "    draw(number, ['a', 'b'])"
    )
    assert sorted(prompts(desk)) == ["0 of a", "0 of b", "1 of a", "1 of b"]


def test_raw_sends_everything_as_typed(desk: Desk) -> None:
    """`--raw` leaves names, lists and choices alone."""
    desk.run("kinds = ['a', 'b']")
    desk.run("%nanobanana --raw {kinds} {a|b}")
    assert prompts(desk) == ["{kinds} {a|b}"]


def test_ipythons_own_lists_are_no_axes(desk: Desk) -> None:
    """`In` is a list of everything typed: `{In}` in a prompt must not draw all of it."""
    desk.run("%nanobanana a sign: {In} {Out} {exit}")
    assert prompts(desk) == ["a sign: {In} {Out} {exit}"]


def test_many_are_confirmed_first(desk: Desk) -> None:
    """More than twenty want --yes, and ten thousand cost nothing but the one line."""
    desk.run("numbers = list(range(100))")
    for line, said in (
        ("%nanobanana {numbers} foxes", "100 numbers = 100 pictures, $3.00, and nothing was sent"),
        ("%nanobanana {numbers} {a|b} -- {numbers}", "100 numbers x 2 variants = 200 pictures"),
        ("%nanobanana -n 100 {numbers} {a|b}", "a grid takes 10,000 at most"),
    ):
        reply = desk.kernel.run(line)
        assert said in reply.text + "".join(reply.traceback)
    assert desk.posts == 0


def test_mistakes_are_told_before_they_cost(desk: Desk) -> None:
    """An empty list stops; a slip of the pen and a value of the wrong kind are pointed out."""
    desk.run("animal, empty, thing = 'fox', [], object()")
    refused = desk.kernel.run("%nanobanana a {empty}")
    assert "empty is an empty list" in refused.text + "".join(refused.traceback)
    assert desk.posts == 0
    reply = desk.run("%nanobanana a {animl} and a {thing}")
    said = [output["text/plain"] for output in reply.displays]
    assert "{animl} is sent as typed: there is no animl. Did you mean {animal}?" in said
    assert any("thing is an object, not text, a number or a list" in line for line in said)
    assert prompts(desk) == ["a {animl} and a {thing}"]


def test_a_dry_run_shows_all_of_it(desk: Desk) -> None:
    """What would be sent is there to read, variants and style and price, and nothing is sent."""
    reply = desk.run("%nanobanana --dry-run --style ink -n 2 a {fox|owl}")
    assert reply.text.count("POST ") == 4
    assert "a owl, " in reply.text
    assert "4 x $0.03 = $0.12; nothing was sent." in reply.text
    assert desk.posts == 0


def test_a_style_is_put_on(desk: Desk) -> None:
    """`--style` adds its words and settings; what is typed beside it wins."""
    desk.run("%nanobanana --style poster,night a fox")
    plain, styled = "a fox", desk.task
    assert styled.prompt.startswith(plain) or f"{plain}," in styled.prompt
    assert len(styled.prompt) > 40
    wrong = desk.kernel.run("%nanobanana --style inc a fox")
    assert "Did you mean ink?" in wrong.text + "".join(wrong.traceback)
    assert desk.posts == 1


def test_what_is_typed_wins_over_the_style_and_that_over_the_settings(desk: Desk) -> None:
    """`-a` first, then what the style says, then %config where a style says nothing."""
    desk.run('%config NanoBananaMagics.aspect_ratio = "16:9"')
    try:
        for options in ("--style ink", "--style poster", "--style poster -a 1:1", ""):
            desk.run(f"%nanobanana -q {options} a fox")
    finally:
        desk.run('%config NanoBananaMagics.aspect_ratio = ""')
    assert [task.aspect_ratio for task in desk.tasks] == ["16:9", "2:3", "1:1", "16:9"]


def test_the_styles_are_shown(desk: Desk) -> None:
    """`%nanobanana_styles` lists them once, as its value too."""
    reply = desk.run("book = %nanobanana_styles")
    (output,) = reply.displays
    assert "ink" in output["text/plain"]
    assert "<script" not in output["text/html"]
    assert desk.value("'ink' in book")


def test_a_grid_is_saved_as_a_sheet_or_a_page(desk: Desk, tmp_path: Path) -> None:
    """`-s` with an ending makes one file of it, checked before anything is paid."""
    sheet, page = tmp_path / "sheet.png", tmp_path / "page.html"
    desk.run(f"%nanobanana -s {sheet} a {{fox|owl}}")
    desk.run(f"%nanobanana -s {page} a {{fox|owl}}")
    with Image.open(sheet) as image:
        assert image.width > image.height
    assert "<script src" not in page.read_text(encoding="utf-8")
    refused = desk.kernel.run(f"%nanobanana -s {tmp_path / 'none' / 'x.png'} a {{fox|owl}}")
    assert refused.status == "error"
    assert desk.posts == 4


def test_a_grid_is_shown_again_for_nothing(desk: Desk) -> None:
    """The first run in the next kernel shows what the last one drew; running again draws anew."""
    cell = "import nanobanana_nb as nb\nnb.grid('a {kind}', kind=['x', 'y'])"
    desk.run(cell)
    assert desk.posts == 2
    desk.kernel.restart()
    desk.run("%load_ext nanobanana_nb")
    assert "shown again, $0.00" in desk.run(cell).displays[-1]["text/plain"]
    assert desk.posts == 2
    desk.run(cell)
    assert desk.posts == 4


PUBLISH = """
import functools, http.server, pathlib, shutil, tempfile, threading
folder = pathlib.Path(tempfile.mkdtemp())
class Host(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Host, directory=folder))
threading.Thread(target=host.serve_forever, daemon=True).start()
def publish(file):
    shutil.copy(file, folder)
    return f"http://127.0.0.1:{host.server_port}/{file.name}"
"""


def test_where_local_pictures_go_can_be_said_when_it_is_asked_for(
    desk: Desk, tmp_path: Path
) -> None:
    """The error says what to set; set in the next cell it counts, and `last` is still the last."""
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "mine.jpg")
    line = f"%nanobanana -q -i {tmp_path / 'mine.jpg'} a teal fox"
    desk.run("%nanobanana -q -o before a fox")
    refused = desk.kernel.run(line)
    assert "NANOBANANA_PUBLISH=module:function" in refused.text + "".join(refused.traceback)
    assert desk.posts == 1
    desk.run(PUBLISH)
    desk.run("%env NANOBANANA_PUBLISH=__main__:publish")
    try:
        desk.run("%nanobanana -q -i last -o after the same")
        desk.run(line)
    finally:
        desk.run("import os; del os.environ['NANOBANANA_PUBLISH']")
    assert desk.value("after.references == (before.image.sha256,)") is True
    assert desk.tasks[-1].image_urls[0].startswith("http://127.0.0.1:")
    assert desk.posts == 3


def test_a_grid_in_code(studio: Studio, sandbox) -> None:
    """Ratios, formats and references as axes reach the API in the order of the grid."""
    fox = studio.wait(studio.generate("a fox"))
    owl = studio.wait(studio.generate("an owl"))
    grid = studio.wait(
        studio.grid(
            "in {place}",
            place=["snow", "sand"],
            image_urls=[fox, [fox, owl]],
            aspect_ratio=["1:1", "16:9"],
        )
    )
    asked = [(one.prompt, len(one.request.image_urls), one.request.aspect_ratio) for one in grid]
    assert asked == [
        (f"in {place}", number, ratio)
        for place in ("snow", "sand")
        for number in (1, 2)
        for ratio in ("1:1", "16:9")
    ]
    assert grid[2].references == (fox.image.sha256, owl.image.sha256)
    assert len(sandbox.tasks) == 10


def test_half_of_a_grid_may_fail(studio: Studio) -> None:
    """What failed stands in its place; what worked is there."""
    grid = studio.wait(studio.grid("{how} a fox", how=["", "[sandbox GENERATION_FAILED]"], count=2))
    assert [one.error is None for one in grid] == [True, True, False, False]
    assert len(grid.images) == 2


def test_nothing_is_sent_of_a_grid_with_a_mistake(studio: Studio, sandbox) -> None:
    """One bad cell stops the whole before the first picture is paid for."""
    for axes, said in (
        ({"aspect_ratio": ["1:1", "7:5"]}, "7:5"),
        ({"style": ["ink", "inc"]}, "ink"),
        ({"image_urls": ["nowhere.png"]}, "nowhere.png"),
    ):
        with pytest.raises(RequestError, match=said):
            studio.wait(studio.grid("a fox", **axes))
    with pytest.raises(RequestError, match=r"21 values of n = 21 pictures, \$0.63, and nothing"):
        studio.wait(studio.grid("{n}", n=range(21)))
    assert sandbox.counts["submit"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ratio": "16:9"}, "ratio is not an option, so nothing was sent. Did you mean aspect_r"),
        ({"format": "jpeg"}, "Did you mean output_format?"),
        ({"n": 4}, "Did you mean count?"),
        ({"styles": "ink"}, "Did you mean style?"),
        ({"dry_run": True}, "dry_run is not an option"),
        ({"confirm": "no"}, "confirm takes True or False"),
        ({"task_retries": -1}, "task_retries is -1; give a whole number from 0 to 5"),
        ({"aspect_ratio": ["1:1"]}, "aspect_ratio takes text, such as aspect_ratio='16:9'"),
        ({"image_urls": b"x"}, "image_urls takes a list"),
        ({"count": 0}, "count is 0"),
    ],
)
def test_an_option_that_is_none_costs_nothing(studio: Studio, sandbox, options, said) -> None:
    """A slip of the pen in an option is told, where Python would let it pass and we be paid."""
    with pytest.raises(RequestError) as caught:
        studio.wait(studio.generate("a fox", **options))
    assert said in str(caught.value)
    assert sandbox.counts["submit"] == 0


def test_what_is_no_prompt_and_no_picture_costs_nothing(studio: Studio, sandbox) -> None:
    """None, a list, and an edit of nothing are told in one line."""
    fox = studio.wait(studio.generate("a fox"))
    for wrong, said in (
        (lambda: studio.generate(None), "must be text, not a NoneType"),
        (lambda: studio.generate(["a", "b"]), "for a list of prompts use nb.grid"),
        (lambda: studio.edit([], "x"), "edit takes its pictures first"),
        (lambda: studio.edit(fox, "x", image_urls=[fox]), "edit takes its pictures first"),
        (lambda: studio.grid("{n} {confirm}", n=range(21), confirm=["ok"]), "confirm takes True"),
    ):
        with pytest.raises(RequestError, match=said):
            studio.wait(wrong())
    both = studio.wait(studio.grid("{place}", place=["snow", "sand"]))
    assert len(studio.wait(studio.edit(both, "as one")).references) == 2
    assert sandbox.counts["submit"] == 4


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%nanobanana -n 0 {a|b}", "count is 0"),
        ("%nanobanana {fox|owl} --dry-run", "--dry-run stands behind the prompt"),
        ("%nanobanana -o kinds a {kinds}", "-o kinds would replace the variable"),
        ("%nanobanana {fox|{red|blue} owl}", "braces inside of choices"),
        ("%nanobanana {c|c}", "variant has 'c' twice"),
    ],
)
def test_what_would_be_paid_by_mistake_is_told(desk: Desk, line: str, said: str) -> None:
    """Each is one line, and no picture."""
    desk.run("kinds = ['a', 'b']")
    refused = desk.kernel.run(line)
    assert refused.status == "error"
    assert said in refused.traceback
    assert desk.posts == 0


def test_a_login_counts_before_anything_else(
    sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key that was asked for is used, also where it was the first thing that was done."""
    monkeypatch.setenv("APIXO_BASE_URL", sandbox.url)
    monkeypatch.setenv("NANOBANANA_SANDBOX", "never")
    monkeypatch.setattr("getpass.getpass", lambda _: "a-key")
    monkeypatch.setattr(sync, "_default", None)
    monkeypatch.setattr(sync, "_used", False)
    sync.login()
    assert sync.current_studio().settings.api_key == Secret("a-key")
