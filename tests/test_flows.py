"""What people really do in picture notebooks (28 flows found in public ones), each as a cell.

They run one after the other in one kernel without a key, as in a notebook of their own; the numbers
are those of the collection. Left out is what this API has not: resolutions (5), other models (6),
masks (27), thoughts and search (28).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .harness.kernels import Kernel
from .harness.stacks import colab_stack

NIGHTLY = pytest.mark.nightly
SETUP = """
%load_ext nanobanana_nb
import nanobanana_nb as nb
import base64, io, json, os
import PIL.Image
"""


@dataclass(frozen=True)
class Flow:
    """A cell, and what is true after it."""

    name: str
    cell: str
    true: str


FLOWS = (
    Flow(
        "1 one line, one picture",
        r"""
astronaut = %nanobanana It's an astronaut with a boombox; who's there?
""",
        r"""
astronaut.prompt == "It's an astronaut with a boombox; who's there?"
and astronaut.image.width == astronaut.image.height == 1024
""",
    ),
    Flow(
        "2 saved under a name, opened again",
        r"""
%nanobanana -o cat -s cat.png a photo of a Siamese cat
again = PIL.Image.open('cat.png')
""",
        r"""
again.size == (1024, 1024)
and cat.path.is_file()
and cat.pil().size == again.size
""",
    ),
    Flow(
        "3 the picture just made, edited",
        r"""
%nanobanana -i last -o forest a side view of that cat in a tropical forest
""",
        r"""
forest.references == (cat.image.sha256,)
and len(forest.request.image_urls) == 1
""",
    ),
    Flow(
        "3 with a list in Markdown as the prompt",
        r"""
%%nanobanana -i cat -o listed
- Put a strawberry in its mouth
- Give it a hat, 50% smaller
""",
        r"""
listed.prompt.startswith('- Put')
and '50%' in listed.prompt
and len(listed.references) == 1
""",
    ),
    Flow(
        "4 a ratio by name",
        r"""
%nanobanana -a 16:9 -o dinner dinner in a restaurant
""",
        r"""
dinner.request.aspect_ratio == '16:9'
and dinner.image.width > 1.7 * dinner.image.height
""",
    ),
    Flow(
        "7 several for one prompt, one of which fails",
        r"""
four = nb.generate('a lynx', count=4)
""",
        r"""
len(four) == 4
and len(four.images) == 4
and four.cost == 4 * four[0].cost
""",
    ),
    Flow(
        "8 a loop over ideas with one reference, one failing",
        r"""
ads = []
for idea in ['posing next to a van ("Nemri Plumbing")', 'baking']:
    ad = %nanobanana -i cat a cat that is {idea}
    ads.append(ad)
doings = ['bakes', '[sandbox GENERATION_FAILED] sleeps']
several = nb.grid('a cat that {does}', does=doings, image_urls=cat)
""",
        r"""
[ad.prompt[14:] for ad in ads] == ['posing next to a van ("Nemri Plumbing")', 'baking']
and [one.error is None for one in several] == [True, False]
""",
    ),
    Flow(
        "9 several input pictures, in order",
        r"""
both = nb.edit([forest, cat, dinner], 'all of these in one room')
""",
        r"""
both.references == (forest.image.sha256, cat.image.sha256, dinner.image.sha256)
""",
    ),
    Flow(
        "10 turn by turn on one figurine",
        r"""
toy = %nanobanana a figurine of a fox
for wish in ('a blue planet on its helmet', 'on a beach', 'What about chilling in a spa?'):
    %nanobanana -i last -o toy {wish}
%nanobanana -i last -a 16:9 -o toy Bring it back to the bedroom
""",
        r"""
len(toy.lineage.ancestors) == 4
and toy.lineage.ancestors[3].prompt.endswith('spa?')
and toy.request.aspect_ratio == '16:9'
""",
    ),
    Flow(
        "11 a style from a list or of one's own",
        r"""
kinds = ['Oil Painting', 'Water Color']
painted = %nanobanana -i cat Convert this into a painting in {kinds} style
%nanobanana --style ink -o inked a cat
""",
        r"""
[one.prompt[-18:] for one in painted] == ['Oil Painting style', ' Water Color style']
and inked.prompt.startswith('a cat')
and len(inked.prompt) > 12
""",
    ),
    Flow(
        "12 text in pictures",
        r"""
%%nanobanana -o menu
A menu: "Chef's Œuvre"
Margherita $11 / $17

  Diavola  $12 / $18 {hot}
""",
        r"""
menu.prompt == 'A menu: "Chef\'s Œuvre"\nMargherita $11 / $17\n\n  Diavola  $12 / $18 {hot}'
""",
    ),
    Flow(
        "13 a prompt in JSON",
        r"""
asked = json.dumps({'subject': {'name': 'fox|owl', 'size': [1, 2]}}, indent=2)
structured = nb.generate(asked)
typed = get_ipython().run_cell_magic('nanobanana', '', asked)
""",
        r"""
structured.prompt == typed.prompt == asked
""",
    ),
    Flow(
        "14 other languages",
        r"""
%nanobanana -i last -o translated この図を日本語に。والعربية أيضاً 🦊
""",
        r"""
translated.prompt == 'この図を日本語に。والعربية أيضاً 🦊'
""",
    ),
    Flow(
        "15 an old photo restored, from a file",
        r"""
exif = PIL.Image.Exif()
exif[0x0112] = 6
PIL.Image.new('RGB', (60, 40), 'gray').save('old.jpg', exif=exif)
%nanobanana -i old.jpg -o restored Restore and colorize this image from 1932.
""",
        r"""
len(restored.references) == 1
and restored.request.aspect_ratio == 'auto'
""",
    ),
    Flow(
        "16 a canvas as the second input",
        r"""
canvas = PIL.Image.new('RGB', (1280, 720), 'white')
drawn = nb.edit([cat, canvas], 'Render this scene on the provided canvas')
""",
        r"""
len(drawn.references) == 2
and drawn.references[0] == cat.image.sha256
""",
    ),
    Flow(
        "17 many prompts from a file, by key",
        r"""
with open('prompts.jsonl', 'w') as file:
    for key in 'AB':
        file.write(json.dumps({'key': key, 'prompt': f'A letter {key}'}) + '\n')
batch = nb.batch('prompts.jsonl')
again = get_ipython().run_line_magic('nanobanana_batch', 'prompts.jsonl')
""",
        r"""
batch['B'].prompt == 'A letter B'
and again['B'].path == batch['B'].path and again['B'].replayed
and len(batch.images) == 2
""",
    ),
    Flow(
        "18 a sprite sheet, cut and animated",
        r"""
sprites = nb.generate('Sprite sheet of a jumping fox, 3x3 grid').pil()
step = sprites.width // 3
places = [(x * step, y * step) for y in range(3) for x in range(3)]
frames = [sprites.crop((x, y, x + step, y + step)) for x, y in places]
frames[0].save('jump.gif', save_all=True, append_images=frames[1:])
""",
        r"""
PIL.Image.open('jump.gif').size == (step, step)
and len(frames) == 9
""",
    ),
    Flow(
        "19 the prompt kept in the file",
        r"""
menu.save('menu.png', embed=True)
loaded = nb.load('menu.png')
""",
        r"""
loaded.prompt == menu.prompt
and PIL.Image.open('menu.png').text['parameters'][:6] == 'A menu'
""",
    ),
    Flow(
        "20 what it cost, how long it took",
        r"""
balance = nb.balance()
""",
        r"""
float(menu.cost) == 0.03
and menu.seconds > 0
and balance > 0
""",
    ),
    Flow(
        "21 refused, or no picture",
        r"""
try:
    nb.generate('[sandbox CONTENT_VIOLATION] something bad')
except nb.NanoBananaError as error:
    refused = error
""",
        r"""
isinstance(refused, nb.NanoBananaError)
and '\n' not in str(refused)
""",
    ),
    Flow(
        "22 a key from the environment, shown nowhere",
        r"""
os.environ['APIXO_API_KEY'] = 'sk-very-secret'
shown = repr(nb.Settings.load())
del os.environ['APIXO_API_KEY']
""",
        r"""
'very-secret' not in shown
""",
    ),
    Flow(
        "23 options first, then the body with variables, dollars and backticks",
        r"""
poet = 'Sappho'
%nanobanana -f jpeg -o poem in the style of {poet}, delimited by `$`
""",
        r"""
poem.prompt == 'in the style of Sappho, delimited by `$`'
and poem.image.format == 'jpeg'
""",
    ),
    Flow(
        "26 a sketch of the notebook, as a data link",
        r"""
data = io.BytesIO()
PIL.Image.new('RGB', (64, 64), 'white').save(data, 'PNG')
sketch = 'data:image/png;base64,' + base64.b64encode(data.getvalue()).decode()
painted = nb.edit(sketch, 'a painting of this sketch')
""",
        r"""
len(painted.references) == 1
""",
    ),
)


@pytest.fixture(scope="module", params=["newest", pytest.param("colab", marks=NIGHTLY)])
def notebook(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kernel]:
    """A kernel without a key, in a folder of its own."""
    folder = tmp_path_factory.mktemp("flows")
    python = sys.executable if request.param == "newest" else colab_stack(Path(__file__).parents[1])
    with Kernel(python, cwd=folder) as running:
        assert running.run(SETUP).status == "ok"
        yield running


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_flow(notebook: Kernel, flow: Flow) -> None:
    """The cell works as it is written there, and does what people do it for."""
    reply = notebook.run(flow.cell.strip("\n"))
    assert reply.status == "ok", reply.traceback
    assert notebook.run(f"print(({flow.true}))").text.strip() == "True"


def test_flow_25_run_again_from_the_top(notebook: Kernel) -> None:
    """Restarted, the cells show what they showed, and nothing is paid again."""
    cells = [flow.cell.strip("\n") for flow in FLOWS[:3]]
    names = "[one.path.name for one in (astronaut, cat, forest)]"
    before = notebook.run(f"print({names})").text
    notebook.restart()
    for cell in (SETUP, *cells):
        assert notebook.run(cell).status == "ok"
    assert notebook.run(f"print({names})").text == before
    assert "True" in notebook.run("print(astronaut.replayed and cat.replayed)").text
