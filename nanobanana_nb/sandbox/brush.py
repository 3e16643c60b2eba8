"""The hand that draws: one shape at a time, each style in its own way, at twice the size so that
edges come out smooth. What a style does to the whole sheet in the end is in ``finish``."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from .palettes import Colour, mix

Point = tuple[float, float]

PAPER: Colour = (250, 247, 240)
INK: Colour = (38, 36, 48)
_OVER = 2


class Brush:
    """A sheet of ``width`` x ``height`` pixels and a hand with one style."""

    def __init__(self, width: int, height: int, style: str, rng: random.Random) -> None:
        self.width, self.height, self.style, self.rng = width, height, style, rng
        self._sheet = Image.new("RGB", (width * _OVER, height * _OVER), PAPER)
        self._draw = ImageDraw.Draw(self._sheet)
        self._glaze = ImageDraw.Draw(self._sheet, "RGBA")  # blends; slower than plain paint

    def lay(self, picture: Image.Image) -> None:
        """Cover the sheet with a picture."""
        self._sheet.paste(picture.resize(self._sheet.size, Image.Resampling.BILINEAR))

    def wash(self, top: Colour, low: Colour) -> None:
        """Fill the sheet with a gradient, from the top down."""
        ramp = Image.linear_gradient("L").resize((1, self._sheet.height))
        column = Image.new("RGB", ramp.size, top)
        column.paste(low, mask=ramp)
        self._sheet.paste(column.resize(self._sheet.size, Image.Resampling.NEAREST))

    def glow(
        self, x: float, y: float, radius: float, colour: Colour, strength: float = 0.7
    ) -> None:
        """Light around a point, fading out."""
        side = round(radius * 2 * _OVER)
        fade = ImageOps.invert(Image.radial_gradient("L")).point(
            lambda value: max(0.0, (value / 255 - 0.3) / 0.7) ** 1.6 * 255 * strength
        )
        corner = round(x * _OVER) - side // 2, round(y * _OVER) - side // 2
        self._sheet.paste(
            colour,
            (*corner, corner[0] + side, corner[1] + side),
            fade.resize((side, side), Image.Resampling.BILINEAR),
        )

    def shape(
        self, points: Sequence[Point], colour: Colour, alpha: int = 255, line: bool = True
    ) -> None:
        """A filled polygon. ``line`` is whether a pen would draw its outline."""
        scaled = [(x * _OVER, y * _OVER) for x, y in points]
        if self.style == "watercolor":
            for opacity in (0.75, 0.6):
                self._glaze.polygon(self._wobbled(scaled), fill=(*colour, round(alpha * opacity)))
        elif alpha < 255:
            self._glaze.polygon(scaled, fill=(*colour, alpha))
        else:
            self._draw.polygon(scaled, fill=colour)
        if self.style == "ink" and line:
            self._pen(scaled)

    def line(self, points: Sequence[Point], colour: Colour, width: float, alpha: int = 255) -> None:
        """An open line with round ends."""
        scaled = [(x * _OVER, y * _OVER) for x, y in points]
        fill, thick = (*colour, alpha), max(1, round(width * _OVER))
        self._glaze.line(scaled, fill=fill, width=thick, joint="curve")
        if alpha == 255:
            for x, y in (scaled[0], scaled[-1]):
                half = thick / 2
                self._glaze.ellipse((x - half, y - half, x + half, y + half), fill=fill)

    def finish(self) -> Image.Image:
        """The finished sheet in its own size."""
        sheet = self._sheet.reduce(_OVER)
        match self.style:
            case "watercolor":
                return _wet(sheet, self.rng)
            case "ink":
                return _monochrome(sheet)
            case "oil":
                return _strokes(sheet, self.rng)
            case "pixel":
                return _pixels(sheet)
        return sheet

    def _wobbled(self, points: Sequence[Point]) -> list[Point]:
        """The outline as a wet brush follows it: off by a little, in slow waves."""
        across = [x for x, _ in points]
        down = [y for _, y in points]
        extent = min(max(across) - min(across), max(down) - min(down))
        reach = min(0.005 * min(self._sheet.size), 0.035 * extent)
        u, v = self.rng.uniform(0, 6.3), self.rng.uniform(0, 6.3)
        length = 0.011 * min(self._sheet.size)
        return [
            (
                x + reach * (math.sin(y / length + u) + 0.6 * math.sin(x / length * 0.43 + v)),
                y + reach * (math.sin(x / length + v) + 0.6 * math.sin(y / length * 0.43 + u)),
            )
            for x, y in points
        ]

    def _pen(self, points: Sequence[Point]) -> None:
        """An outline drawn twice, not quite the same."""
        gauss = self.rng.gauss
        for thick in (4, 3):
            loop = [(x + gauss(0, 0.8), y + gauss(0, 0.8)) for x, y in points]
            self._draw.line([*loop, loop[0]], fill=INK, width=thick, joint="curve")


def disc(x: float, y: float, rx: float, ry: float | None = None) -> list[Point]:
    """The outline of an ellipse."""
    steps = 40
    high = rx if ry is None else ry
    angles = [2 * math.pi * step / steps for step in range(steps)]
    return [(x + rx * math.cos(angle), y + high * math.sin(angle)) for angle in angles]


def smooth(points: Sequence[Point]) -> list[Point]:
    """A closed curve through the points (Catmull-Rom)."""
    curve: list[Point] = []
    count, steps = len(points), 8
    for i in range(count):
        a, b, c, d = (points[(i + k) % count] for k in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            curve.append((_spline(a[0], b[0], c[0], d[0], t), _spline(a[1], b[1], c[1], d[1], t)))
    return curve


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t**3
    )


def clouds(size: tuple[int, int], grain: int, rng: random.Random) -> Image.Image:
    """Soft grey noise around 128 whose spots are about ``grain`` pixels wide."""
    small = (max(2, size[0] // grain), max(2, size[1] // grain))
    spots = Image.frombytes("L", small, rng.randbytes(small[0] * small[1]))
    if grain > 8:  # smooth enough to be enlarged in two steps, the second a cheap one
        spots = spots.resize((size[0] // 4, size[1] // 4), Image.Resampling.BICUBIC)
    return spots.resize(size, Image.Resampling.BILINEAR)


def _wet(sheet: Image.Image, rng: random.Random) -> Image.Image:
    """Pigment that pools at the edges and in the paper's grain, and a sheet left white around."""
    size = sheet.size
    soft = sheet.filter(ImageFilter.BoxBlur(5))
    edges = ImageChops.subtract(soft, sheet, scale=0.7)  # where it is darker than around: pooled
    wet = ImageChops.subtract(sheet, edges)
    blooms = Image.blend(clouds(size, 90, rng), clouds(size, 22, rng), 0.35)
    pale = Image.blend(wet, Image.new("RGB", size, PAPER), 0.5)
    wet = Image.composite(pale, wet, blooms.point(lambda value: max(0, value - 70) * 0.9))
    grain = clouds(size, 2, rng).point(lambda value: 232 + value * 23 // 255)
    wet = ImageChops.multiply(wet, Image.merge("RGB", (grain,) * 3))
    return Image.composite(wet, Image.new("RGB", size, PAPER), _brushed_area(size, rng))


def _brushed_area(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """A mask: the sheet but for an uneven margin."""
    width, height = size
    margin = round(min(size) * 0.055)
    area = Image.new("L", size)
    ImageDraw.Draw(area).rectangle((margin, margin, width - margin, height - margin), fill=255)
    area = area.filter(ImageFilter.BoxBlur(margin * 0.6))
    ragged = Image.blend(clouds(size, 34, rng), clouds(size, 9, rng), 0.3)
    return Image.blend(area, ragged, 0.3).point(lambda value: max(0, min(255, (value - 108) * 9)))


def _monochrome(sheet: Image.Image) -> Image.Image:
    """One bottle of ink: tones become hatching whose lines swell where it is darker."""
    width, height = sheet.size
    tones = ImageOps.autocontrast(sheet.convert("L"), cutoff=1)
    period = 7
    wave = bytes(round(255 * abs(step % period * 2 / period - 1)) for step in range(width + period))
    rows = b"".join(wave[y % period : y % period + width] for y in range(height))
    hatch = Image.frombytes("L", sheet.size, rows)
    lines = ImageChops.add(tones.point(lambda value: value * 0.82 + 44), hatch, 1, -128)
    inked = lines.point(lambda value: max(0, min(255, (value - 70) * 4)))
    solid = tones.point(lambda value: max(0, min(255, (value - 14) * 6)))
    return ImageOps.colorize(ImageChops.darker(inked, solid), INK, PAPER)


def _strokes(sheet: Image.Image, rng: random.Random) -> Image.Image:
    """Short thick strokes, large ones first, along the forms of the picture."""
    width, height = sheet.size
    painted = sheet.filter(ImageFilter.BoxBlur(4))
    pen = ImageDraw.Draw(painted)
    colours, flow = sheet.tobytes(), clouds(sheet.size, 160, rng).tobytes()
    for count, length, thick in ((1100, 26, 12), (4200, 12, 5)):
        for _ in range(count):
            x, y = rng.randrange(width), rng.randrange(height)
            spot, shift = y * width + x, rng.randint(-13, 13)
            red, green, blue = (
                max(0, min(255, value + shift)) for value in colours[spot * 3 : spot * 3 + 3]
            )
            angle = flow[spot] / 255 * math.pi
            dx, dy = math.cos(angle) * length / 2, math.sin(angle) * length / 2
            pen.line((x - dx, y - dy, x + dx, y + dy), fill=(red, green, blue), width=thick)
    return painted.filter(ImageFilter.UnsharpMask(2, 60, 2))


def _pixels(sheet: Image.Image) -> Image.Image:
    """Large square pixels in few colours."""
    cell = 8
    small = sheet.resize((-(-sheet.width // cell), -(-sheet.height // cell)), Image.Resampling.BOX)
    few = small.quantize(28, dither=Image.Dither.NONE).convert("RGB")
    return few.resize((few.width * cell, few.height * cell), Image.Resampling.NEAREST).crop(
        (0, 0, *sheet.size)
    )


def shaded(colour: Colour, share: float) -> Colour:
    """The colour in shade (share above 0) or in light (below)."""
    return mix(colour, INK if share > 0 else (255, 252, 244), abs(share))
