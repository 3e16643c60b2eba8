"""The grid: what stands where, in Python, on a contact sheet, on a page and in a table."""

from __future__ import annotations

import base64
import io
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pandas
import pytest
from PIL import Image, ImageChops

from nanobanana_nb import Studio
from nanobanana_nb.errors import RequestError
from nanobanana_nb.gridpage import arranged
from nanobanana_nb.grids import Grid
from nanobanana_nb.gridsheet import MAX_PIXELS, Cell, sheet
from nanobanana_nb.results import Gallery, Generation
from nanobanana_nb.templates import Axis

ANIMALS = Axis("animal", ("fox", "owl", "cat"))
STYLES = Axis("style", ("ink", "oil"))
WEATHER = Axis("weather", ("rain", "sun"))
REFUSED = "[sandbox CONTENT_VIOLATION]"
IN_DOUBT = "[sandbox drop]"
HOSTILE = (
    "</table></dialog><script>alert(1)</script> ` ${alert(2)} \"' onload=alert(3) " + "x" * 300
)
VOID = {"meta", "img", "col", "br"}


def drawn(studio: Studio, axes: Sequence[Axis], template: str, **options: Any) -> Grid:
    """A grid drawn one by one; an axis may also be an option of the request."""
    found: list[Generation] = []
    for spot in product(*(axis.values for axis in axes)):
        values = dict(zip([axis.name for axis in axes], spot, strict=True))
        own = {name: values[name] for name in ("aspect_ratio",) if name in values}
        prompt = template.format(**values)
        found += studio.wait(studio.gallery(prompt, **{**options, **own}))
    return Grid(found, axes, template)


def small(studio: Studio, animal: str = "owl") -> Grid:
    """Two animals in two styles; the second animal is of your choice."""
    return drawn(studio, [Axis("animal", ("fox", animal)), STYLES], "a {animal} in {style}")


class Outline(HTMLParser):
    """The tags of a page, whether they are closed in order, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += f"{data}\n"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


# ---------------------------------------------------------------- in Python


def test_where_each_stands() -> None:
    """The first axis down, the second across, a table for each combination of the others."""
    layout = arranged([ANIMALS, STYLES, WEATHER, Axis("medium", ("paper",))])
    assert layout.rows is ANIMALS
    assert layout.columns is STYLES
    assert [block.heading for block in layout.blocks] == ["weather: rain", "weather: sun"]
    assert layout.blocks[0].rows == ((0, 2), (4, 6), (8, 10))
    assert layout.blocks[1].rows == ((1, 3), (5, 7), (9, 11))
    assert layout.places[9] == "animal: cat · style: ink · weather: sun"
    assert layout.fixed == ("medium: paper",)


def test_four_axes_name_both_of_the_others() -> None:
    """Every table says by all of its axes which one it is."""
    layout = arranged([ANIMALS, STYLES, WEATHER, Axis("time", ("dawn", "dusk"))])
    assert [block.heading for block in layout.blocks] == [
        "weather: rain · time: dawn",
        "weather: rain · time: dusk",
        "weather: sun · time: dawn",
        "weather: sun · time: dusk",
    ]
    assert layout.blocks[2].rows[1][1] == 1 * 8 + 1 * 4 + 1 * 2 + 0


@pytest.mark.parametrize(
    "axes", [[], [Axis("style", ("ink",))], [ANIMALS], [Axis("style", ("ink",)), ANIMALS]]
)
def test_one_axis_or_none_is_one_row(axes: list[Axis]) -> None:
    """What does not vary takes no room."""
    layout = arranged(axes)
    assert layout.rows is None
    assert len(layout.blocks) == 1
    assert layout.columns == (ANIMALS if ANIMALS in axes else None)


def test_at_finds_what_stands_there(studio: Studio) -> None:
    """A result by all of its axes, a smaller grid by some, failed ones included."""
    grid = small(studio, f"owl {REFUSED}")
    assert grid.at(animal="fox", style="oil") is grid[1]
    assert grid.at(animal=f"owl {REFUSED}", style="ink") is grid[2]
    ink = grid.at(style="ink")
    assert list(ink) == [grid[0], grid[2]]
    assert [axis.values for axis in ink.axes] == [("fox", f"owl {REFUSED}"), ("ink",)]
    assert ink.at(animal="fox") is grid[0]
    assert list(grid.at()) == list(grid)
    assert type(grid[:2]) is Gallery


def test_at_takes_values_as_they_are_and_as_they_are_shown(studio: Studio) -> None:
    """Numbers, nothing at all, and values that answer a comparison with an array."""

    class Strange:
        def __eq__(self, other: object) -> Any:
            return [False, True]

        def __hash__(self) -> int:
            return 0

        def __str__(self) -> str:
            return "strange"

    strange = Strange()
    one = studio.wait(studio.gallery("a fox"))[0]
    grid = Grid(
        [replace(one, remark=f"{n}") for n in range(3)], [Axis("count", (strange, 2, None))]
    )
    assert grid.at(count=2) is grid.at(count="2") is grid[1]
    assert grid.at(count=None) is grid[2]
    assert grid.at(count=strange) is grid[0]


@pytest.mark.parametrize(
    ("coordinates", "said"),
    [
        ({"animl": "fox"}, "This grid has no axis 'animl'; did you mean 'animal'?"),
        ({"x": "fox"}, "This grid has no axis 'x'; it is one of 'animal', 'style'."),
        ({"animal": "oul"}, "'oul' is not a value of animal; did you mean 'owl'?"),
        ({"style": "?"}, "'?' is not a value of style; it is one of 'ink', 'oil'."),
    ],
)
def test_a_wrong_name_gets_the_nearest(
    studio: Studio, coordinates: dict[str, str], said: str
) -> None:
    """An axis or a value that is not there: one line with the one that was meant."""
    one = studio.wait(studio.gallery("a fox"))[0]
    grid = Grid([one] * 4, [Axis("animal", ("fox", "owl")), STYLES])
    with pytest.raises(RequestError, match=f"^{re.escape(said)}$"):
        grid.at(**coordinates)


def test_a_grid_has_one_result_for_each_place(studio: Studio) -> None:
    """Results that do not fill the axes would stand under wrong headings."""
    one = studio.wait(studio.gallery("a fox"))[0]
    with pytest.raises(RequestError, match="5 results do not make a grid of 6"):
        Grid([one] * 5, [ANIMALS, STYLES])


def test_the_headline(studio: Studio) -> None:
    """The axes, what there is of them, and the price."""
    text = repr(small(studio, f"owl {REFUSED}")).splitlines()
    assert text[0] == "2 animals × 2 styles · 2 pictures, 2 failed · $0.12"
    assert text[-1].startswith("  [2]-[3] 2 not drawn: ")
    one = studio.wait(studio.gallery("a fox"))[0]
    several = Grid([one] * 2, [Axis("picture", (1, 2))])
    assert repr(several).splitlines()[0] == "2 pictures · $0.06"


def test_an_empty_grid_shows_itself() -> None:
    """An empty axis is refused before anything is drawn; a grid of nothing still does not break."""
    grid = Grid([], [Axis("animal", ())])
    assert "0 pictures" in repr(grid)
    assert "0 pictures" in grid._repr_mimebundle_()["text/html"]
    with pytest.raises(RequestError, match="nothing in this grid"):
        grid.pil()


# ---------------------------------------------------------------- the table of numbers


def test_to_pandas(studio: Studio) -> None:
    """A row for each with its axes first, ready to be grouped; failed ones are in it."""
    grid = drawn(
        studio,
        [Axis("prompt", ("a fox", f"an owl {REFUSED}")), Axis("aspect_ratio", ("1:1", "16:9"))],
        "{prompt}",
    )
    table = grid.to_pandas()
    assert list(table.columns[:4]) == ["prompt_axis", "aspect_ratio_axis", "created", "prompt"]
    assert list(table["aspect_ratio_axis"]) == ["1:1", "16:9"] * 2
    assert list(table["state"]) == ["stored", "stored", "failed", "failed"]
    assert list(table["width"].fillna(0)) == [1024, 1344, 0, 0]
    costs = table.groupby("prompt_axis")["cost"].sum()
    assert costs["a fox"] == pytest.approx(0.06)
    assert len(table.columns) == 2 + len(studio.wait(studio.history()).to_pandas().columns)


def test_to_pandas_keeps_numbers_and_shows_the_rest(studio: Studio) -> None:
    """Numbers stay numbers; what no cell of a table can hold is shown as on the page."""
    one = studio.wait(studio.gallery("a fox"))[0]
    grid = Grid([one] * 4, [Axis("count", (1, 2)), Axis("image_urls", (None, ("a", "b")))])
    table = grid.to_pandas()
    assert table["count"].dtype.kind == "i"
    assert list(table["image_urls_axis"]) == list(grid.axes[1].labels) * 2
    assert isinstance(table, pandas.DataFrame)


# ---------------------------------------------------------------- the contact sheet


def inked(image: Image.Image, box: tuple[int, int, int, int]) -> int:
    """How many pixels of a part are not white."""
    part = image.convert("L").crop(box)
    return sum(part.point(lambda value: 255 if value < 250 else 0).histogram()[255:])


def places(image: Image.Image, colours: Sequence[tuple[int, int, int]]) -> list[Any]:
    """Where each of some plain colours is: left, top, right, bottom."""
    boxes = []
    for colour in colours:
        apart = ImageChops.difference(image, Image.new("RGB", image.size, colour)).convert("L")
        boxes.append(apart.point(lambda value: 255 if value < 4 else 0).getbbox())
    return boxes


COLOURS = (
    (200, 30, 30),
    (30, 160, 30),
    (30, 30, 200),
    (200, 160, 30),
    (160, 30, 160),
    (0, 150, 150),
)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> Cell:
    return Cell(*size, lambda: Image.new("RGB", size, colour))


def test_pictures_and_labels_are_where_they_should_be() -> None:
    """Each picture in its row and column; above and beside it there is writing."""
    cells = [plain(colour) for colour in COLOURS]
    image = sheet(arranged([ANIMALS, STYLES]), cells, "a title", "about it")
    boxes = places(image, COLOURS)
    for row, column in product(range(3), range(2)):
        left, top, right, bottom = boxes[row * 2 + column]
        assert (right - left, bottom - top) == (384, 384)
        assert left == boxes[column][0]
        assert top == boxes[row * 2][1]
        assert inked(image, (0, top, boxes[0][0] - 4, top + 40)) > 20
    assert boxes[1][0] > boxes[0][2]
    assert boxes[2][1] > boxes[0][3]
    for left, top, right, _ in boxes[:2]:
        assert inked(image, (left, top - 40, right, top - 4)) > 20
    assert inked(image, (0, 0, image.width, 90)) > 300


def test_tables_stand_below_each_other() -> None:
    """A third axis: a table for each of its values, with a heading above it."""
    layout = arranged([Axis("a", (1, 2)), Axis("b", (1, 2)), WEATHER])
    cells = [plain(COLOURS[number % 2]) for number in range(8)]
    image = sheet(layout, cells, "", "")
    rain, sun = places(image, COLOURS[:2])
    assert rain[3] < sun[1]
    assert inked(image, (0, rain[3] + 10, rain[0], sun[1])) > 50


def test_one_axis_is_folded_on_the_sheet() -> None:
    """Twenty pictures in one row would be a strip that nobody can look at."""
    axis = Axis("animal", tuple(range(20)))
    image = sheet(arranged([axis]), [plain(COLOURS[0])] * 20, "", "", 128)
    assert 0.5 < image.width / image.height < 2


def test_pictures_keep_their_ratio() -> None:
    """A wide one is wide and a tall one is tall, beside each other."""
    axis = Axis("aspect_ratio", ("16:9", "9:16"))
    cells = [plain(COLOURS[0], (160, 90)), plain(COLOURS[1], (90, 160))]
    wide, tall = places(sheet(arranged([axis]), cells, "", ""), COLOURS[:2])
    assert (wide[2] - wide[0], wide[3] - wide[1]) == (384, 216)
    assert (tall[2] - tall[0], tall[3] - tall[1]) == (216, 384)


def test_a_large_grid_stays_within_bounds() -> None:
    """Twenty by twenty is smaller per picture, and not gigabytes; so is one long column."""
    many = Axis("n", tuple(range(20)))
    image = sheet(arranged([many, Axis("m", tuple(range(20)))]), [plain(COLOURS[0])] * 400, "", "")
    assert 10_000_000 < image.width * image.height <= MAX_PIXELS < 50_000_000
    long = Axis("n", tuple(range(150)))
    image = sheet(arranged([long, STYLES]), [plain(COLOURS[0])] * 300, "", "")
    assert 14_000 < image.height < 16_383  # where WebP ends


def test_see_through_pictures_are_on_white() -> None:
    """A logo without a background does not become black."""
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image = sheet(arranged([]), [Cell(64, 64, lambda: clear)], "", "")
    assert inked(image, (0, 0, *image.size)) == 0


@pytest.mark.parametrize("label", ["x" * 2000, "wort " * 300, "狐" * 400, "ثعلب " * 200, "😀" * 50])
def test_long_labels_neither_widen_nor_cover(label: str) -> None:
    """A label is wrapped and cut in its own room, whatever is written in it."""
    rows, columns = Axis("a", (label, "b")), Axis("c", (label, "d"))
    image = sheet(arranged([rows, columns]), [plain(c) for c in COLOURS[:4]], label, label)
    boxes = places(image, COLOURS[:4])
    assert all((right - left, bottom - top) == (384, 384) for left, top, right, bottom in boxes)
    assert image.width < 1400
    assert image.height < 1300


def test_what_no_font_can_write_is_still_told_apart() -> None:
    """Two labels in letters that no font of this machine has differ by their numbers."""
    axis = Axis("a", ("\U000f0000", "\U000f0000"))
    image = sheet(arranged([axis]), [plain(colour) for colour in COLOURS[:2]], "", "")
    first, second = (
        image.crop((left, top - 40, right, top))
        for left, top, right, _ in places(image, COLOURS[:2])
    )
    assert ImageChops.difference(first, second).getbbox()


def boxes_of(grid: Grid) -> list[Any]:
    """Where the pictures of a grid must be: where plain ones would be, under the same labels."""
    cells = [plain(colour, (1024, 1024)) for colour in COLOURS[: len(grid)]]
    like = sheet(arranged(grid.axes), cells, grid.template, "about")
    assert like.size == grid.pil().size
    return places(like, COLOURS[: len(grid)])


def test_pil_is_drawn_from_the_files(studio: Studio) -> None:
    """The sheet has the pictures themselves, sharper than any preview, and each in its place."""
    grid = small(studio)
    image = grid.pil()
    assert image.mode == "RGB"
    for one, box in zip(grid, boxes_of(grid), strict=True):
        full = one.pil().convert("RGB").resize((384, 384), Image.Resampling.LANCZOS)
        apart = ImageChops.difference(image.crop(box), full).convert("L")
        assert apart.getextrema() == (0, 0)


def test_a_failed_cell_is_a_frame_with_its_reason(studio: Studio) -> None:
    """Not blank, not black: a frame, and words in it; money in doubt is amber."""
    grid = drawn(
        studio, [Axis("animal", ("fox", f"owl {REFUSED}", f"cat {IN_DOUBT}"))], "a {animal}"
    )
    image, boxes = grid.pil(), boxes_of(grid)
    for (left, top, right, bottom), edge in zip(
        boxes[1:], [(189, 193, 198), (217, 154, 0)], strict=True
    ):
        assert image.getpixel((left, top)) == edge
        assert image.getpixel((right - 1, bottom - 1)) == edge
        words = image.convert("L").crop((left + 4, top + 4, right - 4, bottom - 4))
        assert sum(words.histogram()[:150]) > 500


def test_a_file_that_is_gone_does_not_break_the_sheet(studio: Studio) -> None:
    """The preview stands in; and without it a frame."""
    grid = small(studio)
    grid[0].path.unlink()
    assert grid.pil().size == small(studio).pil().size
    for kept in (grid[0].path.parent.parent).rglob("*.jpg"):
        kept.unlink()
    left, top, _, _ = boxes_of(grid)[0]
    assert grid.pil().getpixel((left, top)) == (189, 193, 198)


# ---------------------------------------------------------------- saving


@pytest.mark.parametrize(
    ("name", "kind"),
    [("grid.png", "PNG"), ("grid.jpg", "JPEG"), ("grid.JPEG", "JPEG"), ("grid.webp", "WEBP")],
)
def test_save_as_a_picture(studio: Studio, tmp_path: Path, name: str, kind: str) -> None:
    """One labelled picture in the format that the name asks for."""
    grid = small(studio)
    assert grid.save(tmp_path / name) == [tmp_path / name]
    with Image.open(tmp_path / name) as image:
        assert image.format == kind
        assert image.size == grid.pil().size


def test_save_into_a_folder(studio: Studio, tmp_path: Path, monkeypatch: Any) -> None:
    """Without an ending it is a folder, new or not, also below ~: every picture as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    grid = small(studio)
    saved = grid.save("~/all")
    assert [path.name for path in saved] == [one.path.name for one in grid]
    assert saved[0] == tmp_path / "all" / grid[0].path.name
    (tmp_path / "run.v2").mkdir()
    assert len(grid.save(tmp_path / "run.v2")) == 4


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            "grid.gif",
            "it is not a folder, and a file needs one of the endings .png, .jpg, .jpeg, .webp",
        ),
        ("nowhere/grid.html", "the folder .*nowhere cannot be written"),
        ("nowhere/grid.png", "the folder .*nowhere cannot be written"),
    ],
)
def test_a_target_that_cannot_be(studio: Studio, tmp_path: Path, target: str, said: str) -> None:
    """One line that says what would do; nothing is written."""
    before = sorted(tmp_path.rglob("*.*"))
    with pytest.raises(RequestError, match=f"^Cannot save to .*: {said}"):
        small(studio).save(tmp_path / target)
    assert not (tmp_path / target).exists()
    assert len(before) <= len(sorted(tmp_path.rglob("*.*")))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize("name", ["grid.html", "grid.png"])
def test_a_disk_that_takes_no_more_is_one_line(studio: Studio, tmp_path: Path, name: str) -> None:
    """What the system says, without a traceback of ours, and an earlier file stays as it is."""
    import resource

    grid, target = small(studio), tmp_path / name
    target.write_bytes(b"earlier")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(RequestError, match=r"^Cannot save to .*: File too large\.$"):
            grid.save(target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_bytes() == b"earlier"
    assert list(tmp_path.glob(".nanobanana-*")) == []


def test_the_page_needs_nothing_else(studio: Studio, tmp_path: Path) -> None:
    """Everything is in the file: no address is asked, the pictures are large, light and dark."""
    grid = small(studio, f"owl {REFUSED}")
    (path,) = grid.save(tmp_path / "grid.html")
    page = path.read_text(encoding="utf-8")
    outline = Outline(page)
    assert outline.open == []
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(|@import|https?://""", page)
    sources = [image["src"] or "" for image in outline.all("img")]
    for source in sources:
        data = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
        assert len(data) <= 150_000
        with Image.open(io.BytesIO(data)) as image:
            assert max(image.size) == 1024
    assert len(sources) == 2
    for words in ("a {animal} in {style}", "fox, owl", "2 failed", "$0.12", "CONTENT_VIOLATION"):
        assert words in outline.words
    assert "color-scheme:light dark" in page
    assert "@media print" in page


# ---------------------------------------------------------------- the output of a cell


def test_the_bundle_has_all_forms(studio: Studio) -> None:
    """HTML with the full previews of a small grid, text, and a labelled picture of it all."""
    grid = small(studio)
    bundle = grid._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain", "image/jpeg"}
    assert bundle["text/plain"] == repr(grid)
    for one in grid:
        assert base64.b64encode(one.cards()[0].preview).decode() in bundle["text/html"]
    assert len(bundle["image/jpeg"]) <= 60_000
    with Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))) as image:
        assert image.width > 500


def noise(studio: Studio, count: int) -> list[Generation]:
    """Results with the pictures that JPEG is worst at."""
    one = studio.wait(studio.gallery("a fox"))[0]
    Image.effect_noise((1024, 1024), 120).convert("RGB").save(one.path)
    for kept in one.path.parent.parent.rglob("*.jpg"):
        kept.unlink()
    return [one] * count


def test_the_worst_large_grid_stays_small(studio: Studio, tmp_path: Path) -> None:
    """Six by eight of noise: the notebook grows by 1.6 MB at most, a page has less than 6 MB."""
    axes = [Axis("n", tuple(range(6))), Axis("m", tuple(range(8)))]
    grid = Grid(noise(studio, 48), axes)
    bundle = grid._repr_mimebundle_()
    assert sum(map(len, bundle.values())) <= 1_600_000
    assert len(bundle["image/jpeg"]) <= 60_000
    (page,) = grid.save(tmp_path / "grid.html")
    assert page.stat().st_size < 6_000_000
    huge = Grid([grid[0]] * 200, [Axis("n", tuple(range(200)))])
    assert sum(map(len, huge._repr_mimebundle_().values())) <= 2_000_000


def test_the_table_is_a_table(studio: Studio) -> None:
    """Headings that a screen reader finds, a caption for each table, pictures with words."""
    axes = [Axis("animal", ("fox", "owl")), STYLES, WEATHER]
    outline = Outline(
        drawn(studio, axes, "a {animal} in {style} {weather}")._repr_mimebundle_()["text/html"]
    )
    assert outline.open == []
    assert len(outline.all("table")) == len(outline.all("caption")) == 2
    assert [th["scope"] for th in outline.all("th")] == [
        "colgroup",
        "col",
        "col",
        "col",
        "row",
        "row",
    ] * 2
    assert [image["alt"] for image in outline.all("img")][1] == (
        "animal: fox · style: oil · weather: rain"
    )
    assert [region["aria-label"] for region in outline.all("div") if "role" in region] == [
        "Animal by style · weather: rain",
        "Animal by style · weather: sun",
    ]


def test_failed_cells_say_so(studio: Studio) -> None:
    """In their place in short, with all of it as a title; money in doubt by its id, and what can
    be done about it below."""
    grid = drawn(
        studio,
        [Axis("animal", ("fox", f"owl {REFUSED}", f"cat {IN_DOUBT}")), STYLES],
        "a {animal} in {style}",
    )
    words = Outline(grid._repr_mimebundle_()["text/html"]).words
    assert words.count("No picture\n") == 2
    assert words.count("May have been billed: $0.03") == 2
    for one in (grid[4], grid[5]):
        assert words.count(one.id) == 2
    assert "[2]-[3] 2 not drawn" in words
    assert "%nanobanana_again ID" in words


def test_without_scripts_nothing_points_to_one(studio: Studio) -> None:
    """The viewer is made by code; a page that runs none shows no button and no wrong cursor."""
    outline = Outline(small(studio)._repr_mimebundle_()["text/html"])
    assert not [tag for tag, _ in outline.tags if tag in ("dialog", "button", "script", "svg")]
    loaders = [image for image in outline.all("img") if "onload" in image]
    assert loaders == outline.all("img")[-1:]
    assert not any("zoom-in" in (image["style"] or "") for image in outline.all("img"))


@pytest.mark.parametrize("shape", ["rows", "columns", "single", "blocks"])
def test_hostile_labels_are_inert(studio: Studio, tmp_path: Path, shape: str) -> None:
    """A label that is markup stays a label: in headings, titles and pages, wherever it stands."""
    hostile, other = Axis("evil", (HOSTILE, "b")), Axis("other", (1, 2))
    axes = {
        "rows": [hostile, other],
        "columns": [other, hostile],
        "single": [hostile],
        "blocks": [other, Axis("third", (1, 2)), hostile],
    }[shape]
    one = studio.wait(studio.gallery(f"a fox {HOSTILE}"))[0]
    count = 2 ** len(axes)
    grid = Grid([one] * count, axes, f"{HOSTILE} {{evil}}")
    (page,) = grid.save(tmp_path / "grid.html")
    for text in (grid._repr_mimebundle_()["text/html"], page.read_text(encoding="utf-8")):
        outline = Outline(text)
        assert outline.open == []
        assert not outline.all("script")
        assert not outline.all("dialog")
        assert len(outline.all("img")) == count
        assert sum("onload" in image for image in outline.all("img")) == 1
        assert "<script>alert(1)</script>" in outline.words
    # Code has nothing of a label in it: it would need more than HTML's escapes there.
    loader = next(i["onload"] for i in outline.all("img") if "onload" in i)
    assert "alert" not in str(loader)


def test_choices_typed_in_the_prompt_need_no_name(studio: Studio) -> None:
    """`{fox|owl}` has no name: its labels stand alone, on the page and on the sheet."""
    drawn = studio.wait(studio.gallery("a fox", count=4))
    axes = [Axis("variant", ("fox", "owl"), typed=True), Axis("ink", ("a", "b"), typed=True)]
    named = [replace(axis, typed=False) for axis in axes]
    page = Grid(drawn, axes)._repr_mimebundle_()["text/html"]
    assert "colgroup" in Grid(drawn, named)._repr_mimebundle_()["text/html"]
    assert 'scope="colgroup"' not in page
    assert ">variant<" not in page
    assert "fox · a" in page
    assert Grid(drawn, axes).pil().height < Grid(drawn, named).pil().height
