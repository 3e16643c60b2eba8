"""What was drawn from what: told by content, kept in the ledger and beside each picture."""

from __future__ import annotations

import asyncio
import base64
import html
import io
import json
import re
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from PIL import Image

import nanobanana_nb as nb
from nanobanana_nb import Generation, ImageRequest, RequestError, Sandbox, Studio, errors
from nanobanana_nb.archive import Lineage
from nanobanana_nb.cells import Cell
from nanobanana_nb.ledger import Ledger
from nanobanana_nb.rebuilding import rebuild
from nanobanana_nb.rows import Account, PictureRow
from nanobanana_nb.schema import MIGRATIONS

from .conftest import settings_for
from .test_ledger import Clock, clock, kernels, ledger

__all__ = ["clock", "kernels", "ledger"]

API = Account("https://api", "me")


async def drawn(ledger: Ledger, name: str, sha256: str, *references: str) -> str:
    """A stored task with one picture; our id."""
    row = await ledger.add(ImageRequest(name), API, references=references)
    await ledger.send(row.id)
    await ledger.move(row.id, "submitted", task_id=f"t-{name}")
    await ledger.ready(row.id, [f"https://r/{name}"], 1.0)
    await ledger.move(row.id, "fetching")
    picture = PictureRow(f"https://r/{name}", Path(f"/{name}.png"), sha256, 4, 3)
    await ledger.stored(row.id, [picture])
    return row.id


async def family(ledger: Ledger, own_id: str) -> tuple[list[str], list[str]]:
    """The prompts of its parents and of its children."""
    parents, children = await ledger.parents(own_id), await ledger.children(own_id)
    return [row.request.prompt for row in parents], [row.request.prompt for row in children]


def change(home: Path, statement: str, *values: object) -> None:
    """Change the ledger of a home behind everybody's back."""
    with sqlite3.connect(home / "ledger.sqlite3") as connection:
        assert connection.execute(statement, values).rowcount
    connection.close()


def one_of(studio: Studio, *arguments: object, **options: object) -> Generation:
    made = studio.wait(studio.edit(*arguments, **options))
    assert isinstance(made, Generation)
    return made


def sent_links(sandbox: Sandbox) -> list[str]:
    """The references of the last task that the API accepted."""
    return list(sandbox.tasks[-1].request["input"]["image_urls"])


def test_parents_and_children_are_found_by_content(ledger: Ledger, clock: Clock) -> None:
    """By the bytes or by the link of a picture, in the references' order, newest child first."""

    async def main() -> None:
        fox = await drawn(ledger, "fox", "aa")
        owl = await drawn(ledger, "owl", "bb")
        clock.now += 1
        both = await drawn(ledger, "both", "cc", "https://r/owl", "unknown", "aa", "bb")
        clock.now += 1
        dawn = await drawn(ledger, "dawn", "dd", "aa")
        for state in ("rejected", "abandoned", "unknown"):
            clock.now += 1
            row = await ledger.add(ImageRequest(state), API, references=["aa"])
            if state != "abandoned":
                await ledger.send(row.id)
            await ledger.move(row.id, state)
        await ledger.add(ImageRequest("waiting"), API, references=["aa"])
        assert await family(ledger, both) == (["owl", "fox"], [])
        assert await family(ledger, fox) == ([], ["unknown", "dawn", "both"])
        assert await family(ledger, owl) == ([], ["both"])
        assert await family(ledger, dawn) == (["fox"], [])
        assert await family(ledger, "nobody") == ([], [])
        assert (await ledger.get(both)).references == ("https://r/owl", "unknown", "aa", "bb")

    asyncio.run(main())


def test_of_two_that_drew_the_same_the_newest_older_one_is_the_parent(
    ledger: Ledger, clock: Clock
) -> None:
    """A picture cannot have been drawn from one that came after it."""

    async def main() -> None:
        await drawn(ledger, "first", "aa")
        clock.now += 1
        await drawn(ledger, "second", "aa")
        clock.now += 1
        child = await drawn(ledger, "child", "bb", "aa")
        clock.now += 1
        third = await drawn(ledger, "third", "aa")
        assert (await family(ledger, child))[0] == ["second"]
        row, picture = await ledger.picture("aa")
        assert (row.id, picture.url) == (third, "https://r/third")
        assert (await ledger.picture("https://r/first"))[0].request.prompt == "first"
        assert await ledger.picture("nothing") is None
        assert await ledger.picture("") is None

    asyncio.run(main())


def test_a_ledger_of_the_second_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its tasks have no references; its pictures can be found by what they hold."""
    file = tmp_path / "old.sqlite3"
    with sqlite3.connect(file) as old:
        for script in MIGRATIONS[:2]:
            for statement in script.split(";"):
                old.execute(statement)
        old.execute("PRAGMA user_version = 2")
        old.execute(
            "INSERT INTO task (id, state, model, origin, prompt, aspect_ratio, output_format, "
            "image_urls, price, created, changed, task_id) VALUES ('a', 'stored', 'nano-banana', "
            "'https://api', 'a fox', '1:1', 'png', '[]', '0.03', 5, 6, 't1')"
        )
        old.execute("INSERT INTO picture VALUES ('a', 0, 'https://r/1', '/x.png', 'aa', 4, 3)")
    old.close()

    async def main() -> None:
        ledger = Ledger(file)
        row, picture = await ledger.picture("aa")
        assert (row.id, row.references, picture.file) == ("a", (), Path("/x.png"))
        child = await drawn(ledger, "dawn", "bb", "aa")
        assert await family(ledger, child) == (["a fox"], [])
        ledger.close()

    asyncio.run(main())


def test_an_edit_knows_what_it_was_made_from(
    studio: Studio, sandbox: Sandbox, tmp_path: Path
) -> None:
    """From the result and back again, by either id; also through a link, and after a restart."""
    fox = studio.wait(studio.generate("a fox"))
    dawn = one_of(studio, fox, "at sunrise")
    night = one_of(studio, [dawn, fox.url], "at night")
    assert dawn.references == (fox.image.sha256,)
    assert night.references == (dawn.image.sha256, fox.url)
    again = Studio(settings_for(sandbox.url, tmp_path / "home"))
    for asked in (night.id, night.task_id):
        lineage = again.wait(again.lineage(asked))
        assert [one.id for one in lineage.parents] == [dawn.id, fox.id]
        assert len(lineage.children) == 0
    lineage = again.wait(again.lineage(fox.id))
    assert [one.id for one in lineage.children] == [night.id, dawn.id]
    assert lineage.children[1].pil().size == dawn.pil().size
    assert again.wait(again.get(dawn.task_id)).references == dawn.references
    again.close()


def test_a_rebuilt_ledger_knows_it_too(studio: Studio, tmp_path: Path) -> None:
    """From the sidecars; one that is older than this has no references, and is still read."""
    fox = studio.wait(studio.generate("a fox"))
    dawn = one_of(studio, fox, "at sunrise")
    noon = one_of(studio, fox, "at noon")
    studio.close()
    beside = noon.path.with_suffix(".json")
    old = json.loads(beside.read_text())
    assert old.pop("references") == [fox.image.sha256]
    beside.write_text(json.dumps(old))

    async def main() -> None:
        found = await rebuild(tmp_path / "new.sqlite3", [tmp_path / "home" / "pictures"])
        assert (found.added, found.broken) == (3, ())
        ledger = Ledger(tmp_path / "new.sqlite3")
        assert [row.id for row in await ledger.parents(dawn.id)] == [fox.id]
        assert [row.id for row in await ledger.children(fox.id)] == [dawn.id]
        assert (await ledger.get(noon.id)).references == ()
        ledger.close()

    asyncio.run(main())


def test_a_file_of_ours_is_its_picture(studio: Studio, sandbox: Sandbox, tmp_path: Path) -> None:
    """Dragged in from wherever it was copied to: the API has a link to it while that lives."""
    fox = studio.wait(studio.generate("a fox"))
    copy = shutil.copy(fox.path, tmp_path / "mine.png")
    made = one_of(studio, copy, "at sunrise")
    assert sent_links(sandbox) == [fox.url]
    assert [one.id for one in studio.wait(studio.lineage(made.id)).parents] == [fox.id]
    change(tmp_path / "home", "UPDATE task SET created = created - 90000 WHERE id = ?", fox.id)
    with pytest.raises(RequestError, match=r"API's link to mine\.png has expired"):
        one_of(studio, copy, "at noon")
    assert sandbox.counts["submit"] == 2


def test_variations_of_an_edit_send_living_links(
    studio: Studio, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The newest link to the same picture; a dead one is refused before anything is sent."""
    fox = studio.wait(studio.generate("a fox"))
    dawn = one_of(studio, fox, "at sunrise")
    newer = sandbox.share(fox.path)
    change(tmp_path / "home", "UPDATE picture SET url = ? WHERE task = ?", newer, fox.id)
    (varied,) = dawn.vary(1)
    assert sent_links(sandbox) == [newer]
    assert varied.references == dawn.references
    assert varied.prompt == "at sunrise"
    change(tmp_path / "home", "UPDATE task SET created = created - 90000 WHERE id = ?", fox.id)
    with pytest.raises(RequestError, match="has expired"):
        dawn.vary(1)
    assert sandbox.counts["submit"] == 3


def test_a_link_from_elsewhere_is_sent_as_it_was(
    studio: Studio, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Nobody knows another one."""
    fox = studio.wait(studio.generate("a fox"))
    link = sandbox.share(shutil.copy(fox.path, tmp_path / "elsewhere.png"))
    dawn = one_of(studio, link, "at sunrise")
    dawn.vary(1)
    assert sent_links(sandbox) == [link]


def test_what_is_submitted_again_sends_living_links(
    studio: Studio, sandbox: Sandbox, tmp_path: Path
) -> None:
    """An edit in doubt is drawn anew from the same picture, and stays its child."""
    fox = studio.wait(studio.generate("a fox"))
    sandbox.fail_next("504")
    with pytest.raises(errors.SubmitUnknown) as caught:
        one_of(studio, fox, "at sunrise")
    newer = sandbox.share(fox.path)
    change(tmp_path / "home", "UPDATE picture SET url = ? WHERE task = ?", newer, fox.id)
    made = studio.wait(studio.submit_again(caught.value.attempt_id))
    assert sent_links(sandbox) == [newer]
    (child,) = studio.wait(studio.lineage(fox.id)).children
    assert child.id == made.id


def test_an_edit_that_the_last_sandbox_left_is_drawn_from_its_picture(tmp_path: Path) -> None:
    """The cell is run again in a new kernel, and its task ended with the sandbox: the new one is
    given the reference as well."""
    settings = nb.Settings.load(sandbox="always", home=tmp_path, pictures=tmp_path / "p")
    first, second = Studio(settings), Studio(settings)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    options = {"image_urls": [tmp_path / "red.png"]}

    async def cell_of(studio: Studio) -> nb.Gallery:
        cell = Cell("folder", "source", 0, first=True, execution=1)
        return await studio._generate_all("brighter", 1, options, cell)

    left = first.start(cell_of(first))
    deadline = time.monotonic() + 20
    while not (left.latest and left.latest.items[0].state == "submitted"):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    first.close()
    (made,) = second.start(cell_of(second)).future.result(20)
    assert made.path.exists()
    assert len(made.request.image_urls) == len(made.references) == 1
    assert second.wait(second.page(also=[])).total == 1
    second.close()


def test_an_edit_of_the_last_sandbox_can_be_varied(tmp_path: Path) -> None:
    """Its links died with it; the picture itself is here, and is given to the new one."""
    settings = nb.Settings.load(sandbox="always", home=tmp_path, pictures=tmp_path / "p")
    first, second = Studio(settings), Studio(settings)
    dawn = one_of(first, first.wait(first.generate("a fox")), "at sunrise")
    first.close()
    (varied,) = second.wait(second.vary(second.wait(second.get(dawn.id)), 1))
    assert varied.image.path.exists()
    assert varied.request.image_urls != dawn.request.image_urls
    second.close()


def chain(studio: Studio, *prompts: str) -> list[Generation]:
    """A picture and its edits, each of the one before."""
    made = [studio.wait(studio.generate(prompts[0]))]
    for prompt in prompts[1:]:
        made.append(one_of(studio, made[-1], prompt))
    return made


def shown(lineage: Lineage) -> list[str]:
    """What the strip shows, step by step: the text of each item of its list."""
    found = lineage._repr_mimebundle_()["text/html"]
    items = re.findall(r"<li.*?</li>", found, re.DOTALL)
    return [" ".join(html.unescape(re.sub("<[^>]*>", " ", item)).split()) for item in items]


def test_a_chain_of_five_edits(studio: Studio) -> None:
    """All the way back from the last, forward one step from the one in the middle."""
    made = chain(studio, "a fox", "at dawn", "in snow", "with a hat", "from above", "as a stamp")
    last, third = made[-1].lineage, made[2].lineage
    assert [one.prompt for one in last.ancestors] == [one.prompt for one in made[:-1]]
    assert last.itself.id == made[-1].id
    assert [one.prompt for one in last.parents] == ["from above"]
    assert repr(third) == "“a fox” -> “at dawn” -> [“in snow”] -> “with a hat”"
    assert shown(last) == [
        "a fox",
        *(f"→ {one.prompt}" for one in made[1:-1]),
        "→ This one as a stamp",
    ]
    assert shown(third)[2:] == ["→ This one in snow", "→ with a hat"]


def test_a_lineage_shows_itself(studio: Studio) -> None:
    """An ordered list of small pictures with words for each; light, and whole without HTML."""
    made = chain(studio, "a fox", "at dawn", "in snow")
    bundle = made[1].lineage._repr_mimebundle_()
    page = bundle["text/html"]
    assert page.count("<ol ") == page.count("</ol>") == 1
    assert re.findall(r'alt="([^"]*)"', page) == ["a fox", "at dawn", "in snow"]
    assert page.count("outline:3px solid") == 1
    assert len(page) < 3 * 8_000
    assert bundle["text/plain"] == "“a fox” -> [“at dawn”] -> “in snow”"
    with Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))) as sheet:
        assert sheet.format == "JPEG"


def test_two_parents_stand_in_the_order_of_the_references(studio: Studio) -> None:
    """Also where one of them was drawn from the other, and what each was drawn from is told."""
    fox, dawn = chain(studio, "a fox", "at dawn")
    owl, dusk = chain(studio, "an owl", "at dusk")
    both = one_of(studio, [dusk, fox, dawn], "together")
    lineage = both.lineage
    assert [one.prompt for one in lineage.parents] == ["at dusk", "a fox", "at dawn"]
    assert [one.prompt for one in lineage.ancestors] == ["an owl", "a fox", "at dusk", "at dawn"]
    assert shown(lineage) == [
        "an owl for “at dusk” a fox for “at dawn”",
        "→ at dusk + a fox + at dawn",
        "→ This one together",
    ]
    assert repr(lineage) == (
        "“an owl” (for “at dusk”); “a fox” (for “at dawn”) -> "
        "“at dusk” + “a fox” + “at dawn” -> [“together”]"
    )
    assert {one.id for one in owl.lineage.children} == {dusk.id}


def test_something_drawn_from_nothing(studio: Studio) -> None:
    """It stands alone, and is still shown."""
    fox = studio.wait(studio.generate("a fox"))
    assert repr(fox.lineage) == "[“a fox”]"
    assert shown(fox.lineage) == ["This one a fox"]
    assert len(fox.lineage.ancestors) == len(fox.lineage.parents) == 0


def test_pictures_from_elsewhere_are_named(
    studio: Studio, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A link without its query, which may be a signature; a file by its hash."""
    Image.new("RGB", (40, 30), "red").save(tmp_path / "mine.png")
    link = sandbox.share(tmp_path / "mine.png")
    fox = studio.wait(studio.generate("a fox"))
    made = one_of(studio, [f"{link}?signature=secret", fox, link], "together")
    change(
        tmp_path / "home",
        "UPDATE reference SET content = ? WHERE task = ? AND position = 2",
        "beefcafe" * 8,
        made.id,
    )
    name = link.partition("://")[2].replace(link.split("/")[2], "127.0.0.1")
    first, second = shown(made.lineage)
    assert second == "→ This one together"
    assert first == (
        f"From elsewhere {name} + a fox + From elsewhere a file of yours, sha256 beefcafe"
    )
    assert "secret" not in str(made.lineage._repr_mimebundle_())
    assert [one.prompt for one in made.lineage.ancestors] == ["a fox"]


def test_gaps_in_a_lineage_are_shown_as_such(studio: Studio, tmp_path: Path) -> None:
    """A file that is gone, an edit that failed or may have been billed: each says so."""
    fox, dawn = chain(studio, "a fox", "at dawn")
    for _ in range(2):
        one_of(studio, dawn, "in snow")
    failed, doubted = (one.id for one in dawn.lineage.children)
    home = tmp_path / "home"
    change(home, "UPDATE task SET state = 'failed', error = 'Too <b>odd</b>.' WHERE id = ?", failed)
    change(home, "UPDATE task SET state = 'unknown' WHERE id = ?", doubted)
    fox.path.unlink()
    shutil.rmtree(home / "previews")
    lineage = dawn.lineage
    before, itself, after = shown(lineage)
    assert before == "File gone a fox"
    assert itself == "→ This one at dawn"
    assert "No picture Too <b>odd</b>. in snow" in after
    assert "May have been billed" in after
    assert repr(lineage).endswith("“in snow” (no picture), “in snow” (may have been billed)")


def test_only_some_of_many_children_are_shown(studio: Studio) -> None:
    """The newest eight, and how many there are besides."""
    fox = studio.wait(studio.generate("a fox"))
    studio.wait(studio.edit(fox, "at dawn", count=11))
    assert len(fox.lineage.children) == 11
    assert shown(fox.lineage)[1] == "→" + " at dawn" * 8 + " and 3 more"
    assert repr(fox.lineage).endswith(", and 3 more")


def test_a_very_long_chain_ends_somewhere(tmp_path: Path, sandbox: Sandbox) -> None:
    """Thirty steps are looked for, however long it is, and the strip says that there are more."""

    async def main() -> str:
        ledger = Ledger(tmp_path / "home" / "ledger.sqlite3")
        await drawn(ledger, "step 0", "sha0")
        for number in range(1, 60):
            last = await drawn(ledger, f"step {number}", f"sha{number}", f"sha{number - 1}")
        ledger.close()
        return last

    (tmp_path / "home").mkdir()
    last = asyncio.run(main())
    studio = Studio(settings_for(sandbox.url, tmp_path / "home"))
    lineage = studio.wait(studio.lineage(last))
    assert 25 <= len(lineage.ancestors) <= 35
    assert lineage.ancestors[-1].prompt == "step 58"
    assert repr(lineage).startswith(f"… -> “{lineage.ancestors[0].prompt}” -> ")
    assert shown(lineage)[0] == "…"
    studio.close()


def test_a_ledger_that_runs_in_a_circle(studio: Studio, tmp_path: Path) -> None:
    """It cannot be, and would do no harm."""
    fox, dawn = chain(studio, "a fox", "at dawn")
    moment = (dawn.created.timestamp(),)
    change(tmp_path / "home", "UPDATE task SET created = ?", *moment)
    change(tmp_path / "home", "INSERT INTO reference VALUES (?, 0, ?)", fox.id, dawn.image.sha256)
    assert {one.prompt for one in dawn.lineage.ancestors} == {"a fox", "at dawn"}
    assert len(shown(dawn.lineage)) < 5
