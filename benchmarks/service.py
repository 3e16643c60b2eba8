"""The sandbox as a process of its own, `with service("drawings") as url`.

It draws each prompt once and remembers the picture, so that drawing is not what is timed.
"""

from __future__ import annotations

import contextlib
import functools
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps

from nanobanana_nb.sandbox import Sandbox, drawing, handler

ROOT = Path(__file__).parents[1]
CONTENTS = {"drawings": "the sandbox's drawings", "photos": "photo-like noise"}
PROMPTS = tuple(
    f"{subject} {style}"
    for subject in ("a fox in the snow", "a lighthouse at dusk")
    for style in ("by day", "in watercolor", "in ink", "in oil", "as pixel art")
)


def service(content: str) -> contextlib.AbstractContextManager[str]:
    """The URL of a sandbox with that content; its pictures are there at the first poll."""
    return serving(__name__, content)


@contextlib.contextmanager
def serving(module: str, *arguments: str) -> Iterator[str]:
    """Run a module as a process of its own; the URL that it prints first."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def photo_like(side: int = 1024) -> Image.Image:
    """Noise with a spectrum like that of photographs; about 1.7 MB as PNG."""
    light = _noise(side, finest=1, fade=0.7)
    colours = (_noise(side, finest=8).point(lambda value: 90 + value * 0.3) for _ in "br")
    return Image.merge("YCbCr", (light, *colours)).convert("RGB")


def _noise(side: int, finest: int, fade: float = 1.0) -> Image.Image:
    """Grey spots, half the picture large down to `finest` pixels, weaker with every octave."""
    mixed, cells, weight, total = Image.new("L", (side, side)), 2, 1.0, 0.0
    while cells * finest <= side:
        total += weight
        spots = Image.effect_noise((cells, cells), 60).resize(mixed.size, Image.Resampling.BICUBIC)
        mixed = Image.blend(mixed, spots, weight / total)
        cells, weight = cells * 2, weight * fade
    return ImageOps.autocontrast(mixed, cutoff=0.5)


def _serve(content: str) -> None:
    @functools.cache
    def picture(prompt: str) -> bytes:
        image = photo_like() if content == "photos" else drawing.draw(prompt, 1024, 1024)
        data = io.BytesIO()
        image.save(data, "PNG", compress_level=4)  # as the sandbox does
        return data.getvalue()

    handler._draw = lambda run, seed: picture(run.task.prompt)
    with Sandbox(latency=0, balance=1000) as sandbox:
        print(sandbox.url, flush=True)
        sandbox.serve_forever()


if __name__ == "__main__":
    _serve(sys.argv[1])
