"""A picture made of a prompt: its light, its place, its subjects, its words, and the stamp.

Not a model and not pretending to be one: what the prompt names is looked up, composed by a seed,
and laid on a sheet with the prompt as its caption and SANDBOX in the corner. The same prompt and
seed give the same picture; another seed gives a sister of it.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast
from unicodedata import normalize

from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

from .brush import INK, PAPER, Brush, Point, disc, shaded
from .palettes import (
    SEASIDE,
    Colour,
    Palette,
    colour_of,
    mix,
    mood_of,
    plain_palette,
    rgb,
    style_of,
    words_of,
)
from .subjects import Subject, found_in, paint

_SIZES = {
    "1:1": (1024, 1024), "4:3": (1152, 864), "3:4": (864, 1152), "3:2": (1248, 832),
    "2:3": (832, 1248), "4:5": (896, 1120), "5:4": (1120, 896), "9:16": (756, 1344),
    "16:9": (1344, 756), "21:9": (1512, 648),
}  # fmt: skip
_FIGURES_IN_FRONT = 0.93
_UNDER = {"deep", "space", "table", "sea"}


def size_of(ratio: str, reference: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """Pixels of a picture of this ratio, exact, about one megapixel. ``auto`` takes the named
    ratio nearest to that of the first reference."""
    if ratio in _SIZES:
        return _SIZES[ratio]
    wanted = math.log(reference[0] / reference[1])
    return min(_SIZES.values(), key=lambda size: abs(math.log(size[0] / size[1]) - wanted))


def draw(
    prompt: str,
    width: int,
    height: int,
    references: Sequence[Image.Image] = (),
    seed: str = "",
) -> Image.Image:
    """The picture of a prompt, ``width`` x ``height`` pixels. The first reference is the ground
    it is painted on; with several, all are shown in their order."""
    words = words_of(prompt)
    rng = _dice(f"{prompt} {seed}")
    strip = max(40, round(height * 0.052))
    brush = Brush(width, height - strip, style_of(words), rng)
    kin = _dice(" ".join(words)).randrange(1000)  # what all variants of a prompt share
    scene = Scene(brush, _palette_of(words, kin), words, kin)
    if references:
        scene.edit(references[0], (width, height))
    else:
        scene.compose()
    sheet = Image.new("RGB", (width, height), PAPER)
    sheet.paste(brush.finish(), (0, 0))
    if len(references) > 1:
        _thumbnails(sheet, references, height - strip)
    _caption(sheet, prompt, strip, scene.palette)
    return sheet


def _dice(seed: str) -> random.Random:
    return random.Random(seed.encode("utf-8", "surrogatepass"))  # noqa: S311 - dice, no secrets


def _palette_of(words: list[str], kin: int) -> Palette:
    subjects = found_in(words)
    mood = mood_of(words)
    if mood or not subjects:
        return mood or plain_palette(kin, None)
    if subjects[0].place in ("sea", "deep"):
        return SEASIDE
    return plain_palette(kin, colour_of(words) or rgb(subjects[0].colour))


@dataclass
class Scene:
    """What is to be painted: a place in some light, and the subjects in it."""

    brush: Brush
    palette: Palette
    words: list[str]
    kin: int

    def compose(self) -> None:
        """The place, then what stands in it."""
        subjects = found_in(self.words)
        place = self._place(subjects)
        getattr(self, f"_{place}")()
        self._figures(subjects, place)
        self._weather(place)

    def edit(self, reference: Image.Image, size: tuple[int, int]) -> None:
        """The reference in the light that the words ask for, and what they add."""
        brush = self.brush
        base = ImageOps.fit(reference.convert("RGB"), size).crop((0, 0, brush.width, brush.height))
        mood = mood_of(self.words)
        if mood:
            base = _relit(base, mood)
        brush.lay(base)
        if mood:
            brush.glow(brush.width * 0.78, brush.height * 0.2, self._unit * 0.5, mood.light, 0.55)
        self._figures(found_in(self.words), "edit")
        self._weather("edit")

    def _place(self, subjects: list[Subject]) -> str:
        asked = set(self.words)
        for place, names in _PLACES.items():
            if asked & set(names.split()):
                return "deep" if place == "sea" and _lives(subjects, "deep") else place
        if subjects:
            return subjects[0].place if subjects[0].place in _UNDER else "land"
        return "land" if mood_of(self.words) else "abstract"

    # -- places

    def _land(self) -> None:
        rng, width, height, light = (
            self.brush.rng,
            self.brush.width,
            self.brush.height,
            self.palette,
        )
        self._sky(0.62)
        for depth, (level, rise) in enumerate(((0.56, 0.10), (0.64, 0.07), (0.74, 0.05))):
            colour = mix(light.far, light.near, depth / 2)
            self.brush.shape(
                self._ridge(level, rise, 1.6 + depth), mix(colour, light.low, 0.25 - depth * 0.1)
            )
            if depth == 1:
                self._grove(level)
        self.brush.shape(self._ridge(0.86, 0.025, 1.2), mix(light.near, light.ground, 0.75))
        tuft = shaded(light.ground, -0.18 if light.dark else 0.12)
        for _ in range(46):
            x, y = rng.uniform(0, width), height * rng.uniform(0.9, 1.0)
            tall = self._unit * rng.uniform(0.015, 0.04)
            lean = rng.uniform(-0.4, 0.4) * tall
            self.brush.line([(x, y), (x + lean, y - tall)], tuft, self._unit * 0.004)

    def _sea(self) -> None:
        rng, width, height, light = (
            self.brush.rng,
            self.brush.width,
            self.brush.height,
            self.palette,
        )
        horizon = 0.58
        self._sky(horizon)
        self.brush.shape(
            self._ridge(horizon - 0.015, 0.045, 1.3, floor=horizon),
            mix(light.far, light.low, 0.35),
            line=False,
        )
        water = (mix(light.low, light.near, 0.45), mix(light.near, light.ground, 0.6))
        for step in range(9):
            level = horizon + (1 - horizon) * (step / 9) ** 1.3
            colour = mix(*water, step / 8)
            self.brush.shape(
                self._ridge(level, 0.004 + 0.003 * step, 9 - step * 0.6), colour, line=False
            )
        for _ in range(60):
            depth = rng.random() ** 1.5
            y = height * (horizon + 0.01 + (0.97 - horizon) * depth)
            near_sun = rng.gauss(self._sun[0], width * (0.03 + 0.10 * depth))
            x = near_sun if rng.random() < 0.6 else rng.uniform(0, width)
            long = self._unit * (0.01 + 0.035 * depth)
            self.brush.line([(x - long, y), (x + long, y)], light.light, self._unit * 0.004, 165)

    def _deep(self) -> None:
        rng, width, height = self.brush.rng, self.brush.width, self.brush.height
        calm = mix(self.palette.near, (20, 110, 140), 0.6)
        self.brush.wash(mix(calm, (255, 255, 240), 0.45), mix(calm, (8, 24, 60), 0.6))
        for _ in range(6):
            x, wide = width * rng.uniform(0, 1), width * rng.uniform(0.02, 0.06)
            slope = width * 0.18
            ray = [(x, 0), (x + wide, 0), (x + wide * 3 - slope, height), (x - slope, height)]
            self.brush.shape(ray, (255, 255, 240), 22, line=False)
        self.brush.shape(self._ridge(0.9, 0.03, 1.4), mix(calm, (10, 26, 58), 0.8), line=False)
        for _ in range(16):
            self._weed(width * rng.random(), mix((30, 120, 100), calm, rng.random() * 0.7))
        for _ in range(26):
            x, y, r = (
                width * rng.random(),
                height * rng.random(),
                self._unit * rng.uniform(0.004, 0.014),
            )
            self.brush.shape(disc(x, y, r), (255, 255, 255), 90, line=False)

    def _space(self) -> None:
        rng, width, height, unit = self.brush.rng, self.brush.width, self.brush.height, self._unit
        light = mood_of(["space"]) or self.palette
        self.brush.wash(light.top, light.low)
        self.brush.glow(width * 0.25, height * 0.7, unit * 0.7, light.far, 0.8)
        self.brush.glow(width * 0.8, height * 0.25, unit * 0.5, (150, 60, 120), 0.45)
        self._stars(170, 1.0)
        x, y, r = width * 0.8, height * 0.24, unit * 0.12
        self.brush.shape(disc(x, y, r), light.accent)
        self.brush.shape(
            disc(x - r * 0.22, y - r * 0.2, r * 0.68),
            mix(light.accent, light.light, 0.35),
            line=False,
        )
        self.brush.line(disc(x, y, r * 1.75, r * 0.36)[2:20], light.light, unit * 0.008)
        self.brush.shape(
            disc(width * 0.2, height * 1.32, width * 0.62, height * 0.5),
            mix(light.far, light.top, 0.3),
        )
        for _ in range(7):
            cx, cy, cr = (
                width * rng.uniform(-0.1, 0.55),
                height * rng.uniform(0.9, 1.0),
                unit * rng.uniform(0.01, 0.04),
            )
            self.brush.shape(
                disc(cx, cy, cr, cr * 0.45), mix(light.far, light.top, 0.55), line=False
            )

    def _table(self) -> None:
        width, height, light = self.brush.width, self.brush.height, self.palette
        wall = mix(light.far, PAPER, 0.55)
        self.brush.wash(wall, mix(wall, light.light, 0.5))
        self.brush.shape(
            disc(width * 0.5, height * 0.5, self._unit * 0.37), mix(light.accent, PAPER, 0.62)
        )
        top = [(0, height * 0.8), (width, height * 0.8), (width, height), (0, height)]
        self.brush.shape(top, mix(light.near, light.ground, 0.35))
        edge = [
            (0, height * 0.8),
            (width, height * 0.8),
            (width, height * 0.815),
            (0, height * 0.815),
        ]
        self.brush.shape(edge, mix(light.near, light.light, 0.35), line=False)

    def _city(self) -> None:
        rng, width, height, light = (
            self.brush.rng,
            self.brush.width,
            self.brush.height,
            self.palette,
        )
        self._sky(0.8)
        for depth in range(3):
            colour = mix(light.far, light.ground, depth / 2)
            x = -rng.uniform(0, 0.05) * width
            while x < width:
                wide = self._unit * rng.uniform(0.07, 0.15)
                top = height * (0.34 + 0.14 * depth + rng.uniform(-0.1, 0.12))
                self.brush.shape(
                    [(x, top), (x + wide, top), (x + wide, height), (x, height)], colour
                )
                self._windows(x, top, wide, colour)
                x += wide + self._unit * rng.uniform(0, 0.02)
        road = [(0, height * 0.93), (width, height * 0.93), (width, height), (0, height)]
        self.brush.shape(road, mix(light.ground, INK, 0.35))

    def _abstract(self) -> None:
        """Tiles of arcs and discs in five colours, for what cannot be looked up."""
        rng, width, height, light = (
            self.brush.rng,
            self.brush.width,
            self.brush.height,
            self.palette,
        )
        rows = 3 if height <= width else 4
        side = height / rows
        columns = math.ceil(width / side)
        left = (width - columns * side) / 2
        inks = [
            light.accent,
            light.near,
            light.ground,
            light.top,
            mix(light.light, light.far, 0.35),
        ]
        named = colour_of(self.words)
        if named:
            inks[0] = named
        self.brush.wash(PAPER, mix(PAPER, light.low, 0.5))
        for row in range(rows):
            for column in range(columns):
                self._tile(left + column * side, row * side, side, rng.sample(inks, 3))

    def _tile(self, x: float, y: float, side: float, inks: list[Colour]) -> None:
        brush, rng = self.brush, self.brush.rng
        ground, figure, dot = inks
        brush.shape(
            [(x, y), (x + side, y), (x + side, y + side), (x, y + side)], ground, line=False
        )
        middle = (x + side / 2, y + side / 2)
        turn = rng.randrange(4)
        corner = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))[turn]
        match rng.randrange(5):
            case 0:
                for share, colour in ((1.0, figure), (0.66, ground), (0.33, dot)):
                    brush.shape(_quarter(corner, side * share, turn), colour)
            case 1:
                brush.shape(disc(*middle, side * 0.42), figure)
                brush.shape(disc(*middle, side * 0.17), dot)
            case 2:
                brush.shape(_quarter(corner, side, turn), figure)
                opposite = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))[turn - 2]
                brush.shape(
                    disc((middle[0] + opposite[0]) / 2, (middle[1] + opposite[1]) / 2, side * 0.11),
                    dot,
                )
            case 3:
                brush.shape(_quarter(corner, side, turn), figure)
                opposite = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))[turn - 2]
                brush.shape(_quarter(opposite, side * 0.5, (turn + 2) % 4), dot)
            case _:
                for share in (0.1, 0.4, 0.7):
                    brush.shape(
                        [(x, y + side * share), (x + side, y + side * share),
                         (x + side, y + side * (share + 0.16)), (x, y + side * (share + 0.16))],
                        figure if share != 0.4 else dot,
                    )  # fmt: skip

    # -- what fills a place

    @property
    def _unit(self) -> float:
        """The shorter side in pixels: what sizes are measured in."""
        return min(self.brush.width, self.brush.height)

    @property
    def _sun(self) -> Point:
        side = 0.24 if self.kin % 2 else 0.76
        level = 0.46 if set(self.words) & _LOW_SUN else 0.24
        return self.brush.width * side, self.brush.height * level

    def _sky(self, horizon: float) -> None:
        brush, light, unit = self.brush, self.palette, self._unit
        brush.wash(light.top, mix(light.top, light.low, 1.0 if horizon > 0.7 else 1.35))
        x, y = self._sun
        brush.glow(x, y, unit * 0.62, light.light, 0.5 if light.dark else 0.75)
        radius = unit * (0.075 if light.dark else 0.09)
        if light.dark:
            self._stars(110, horizon)
        brush.shape(disc(x, y, radius), light.light)
        if light.dark:
            for dx, dy, r in ((-0.3, -0.2, 0.22), (0.25, 0.3, 0.16), (0.3, -0.35, 0.12)):
                crater = disc(x + dx * radius, y + dy * radius, r * radius)
                brush.shape(crater, mix(light.light, light.far, 0.22), line=False)
        for _ in range(3):
            self._cloud(brush.rng.uniform(0.05, 0.95), brush.rng.uniform(0.1, horizon * 0.55))

    def _cloud(self, across: float, down: float) -> None:
        brush, light = self.brush, self.palette
        x, y = brush.width * across, brush.height * down
        size = self._unit * brush.rng.uniform(0.05, 0.085)
        colour = mix(light.light, light.top, 0.75 if light.dark else 0.15)
        puffs = ((-1.5, 0.1, 0.55), (-0.7, 0, 0.8), (0.2, 0, 1.05), (1.1, 0, 0.75), (1.8, 0.1, 0.5))
        outline: list[Point] = []
        for step in range(61):
            at = -2.05 + step * 4.35 / 60
            tops = [up - math.sqrt(max(0.0, r * r - (at - mid) ** 2)) for mid, up, r in puffs]
            outline.append((x + size * at, y + size * min(tops)))
        base = y + size * 0.3
        brush.shape(
            [*outline, (x + size * 2.3, base), (x - size * 2.05, base)], colour, 220, line=False
        )

    def _stars(self, count: int, depth: float) -> None:
        rng = self.brush.rng
        for _ in range(count):
            x, y = rng.uniform(0, self.brush.width), rng.uniform(0, self.brush.height * depth)
            radius = self._unit * 0.0032 * rng.random() ** 2 + 0.7
            self.brush.shape(disc(x, y, radius), (255, 250, 235), rng.randint(120, 255), line=False)

    def _ridge(self, level: float, rise: float, waves: float, floor: float = 1.0) -> list[Point]:
        """Hills: everything from a wavy line at ``level`` down to ``floor``."""
        width, height, rng = self.brush.width, self.brush.height, self.brush.rng
        one, two = rng.uniform(0, 6.3), rng.uniform(0, 6.3)
        line = []
        for step in range(81):
            t = step / 80 * waves * 2 * math.pi * width / (1.4 * height)
            lift = math.sin(t + one) * 0.65 + math.sin(t * 2.3 + two) * 0.35
            line.append((width * step / 80, height * (level - rise * lift)))
        return [*line, (width, height * floor), (0, height * floor)]

    def _grove(self, level: float) -> None:
        """Small firs on a ridge, in two flocks."""
        rng, light = self.brush.rng, self.palette
        leaf = mix(light.near, light.ground, 0.45)
        for centre in (0.12, 0.86):
            spots = sorted(rng.gauss(level + 0.05, 0.022) for _ in range(8))
            for foot in spots:
                x = self.brush.width * rng.gauss(centre, 0.075)
                tall = self._unit * rng.uniform(0.09, 0.16)
                y = self.brush.height * foot
                for part in (0.0, 0.28, 0.54):
                    half = tall * 0.22 * (1 - part * 0.75)
                    fir = [
                        (x - half, y - tall * part),
                        (x + half, y - tall * part),
                        (x, y - tall * (part + 0.46)),
                    ]
                    self.brush.shape(fir, shaded(leaf, 0.12 if part == 0 else 0))

    def _weed(self, x: float, colour: Colour) -> None:
        rng, base = self.brush.rng, self.brush.height
        tall, phase = self._unit * rng.uniform(0.12, 0.34), rng.uniform(0, 6.3)
        stalk = [
            (x + math.sin(phase + step * 0.8) * self._unit * 0.012, base - tall * step / 9)
            for step in range(10)
        ]
        self.brush.line(stalk, colour, self._unit * 0.012)

    def _windows(self, x: float, top: float, wide: float, wall: Colour) -> None:
        rng, light = self.brush.rng, self.palette
        step, lit = self._unit * 0.026, mix(wall, (255, 226, 150), 0.75 if light.dark else 0.4)
        for row in range(1, int((self.brush.height - top) / step)):
            for column in range(1, int(wide / step)):
                if rng.random() < 0.4:
                    left, upper = x + column * step - step * 0.2, top + row * step
                    right, lower = left + step * 0.42, upper + step * 0.5
                    pane = [(left, upper), (right, upper), (right, lower), (left, lower)]
                    self.brush.shape(pane, lit, line=False)

    def _figures(self, subjects: list[Subject], place: str) -> None:
        """The subjects side by side, the first one largest, shadows under what stands."""
        brush, light, count = self.brush, self.palette, len(subjects)
        named = colour_of(self.words)
        for number, subject in reversed(list(enumerate(subjects))):
            share = 1.0 if count == 1 else 0.78 - 0.1 * number
            share *= 0.55 if place == "edit" else 1.0
            size = min(self._unit * subject.size * share * 1.08, brush.width / count * 0.86)
            x = brush.width * (number + 0.5 + brush.rng.uniform(-0.04, 0.04)) / count
            y = brush.height * self._foot(subject, place) + (
                size * 0.5 if subject.place in ("air", "deep", "space") else 0
            )
            if subject.place in ("land", "table") and place not in ("deep", "space"):
                shade = mix(light.ground, INK, 0.45)
                brush.shape(
                    disc(x, y - size * 0.005, size * 0.36, size * 0.045), shade, 105, line=False
                )
            paint(
                brush, subject, named if number == 0 else None, x, y, size, flip=self.kin % 3 == 1
            )
            if subject.place == "sea" and place == "sea":
                self._wake(x, y, size)

    def _foot(self, subject: Subject, place: str) -> float:
        if subject.place in ("air", "deep", "space"):
            return {"air": 0.44, "deep": 0.52, "space": 0.46}[subject.place]
        return {"sea": 0.82, "edit": 0.95}.get(place, _FIGURES_IN_FRONT)

    def _wake(self, x: float, y: float, size: float) -> None:
        water = mix(self.palette.near, self.palette.ground, 0.4)
        foam = mix(water, self.palette.light, 0.55)
        self.brush.shape(disc(x, y, size * 0.5, size * 0.045), water, 235, line=False)
        for dx, dy, long in ((-0.3, -0.02, 0.2), (0.18, 0.0, 0.26), (-0.1, 0.035, 0.16)):
            left = x + dx * size
            self.brush.line(
                [(left, y + dy * size), (left + long * size, y + dy * size)], foam, size * 0.011
            )

    def _weather(self, place: str) -> None:
        asked, rng = set(self.words), self.brush.rng
        if asked & _SNOW and place not in ("deep", "space"):
            for _ in range(150):
                x, y = rng.uniform(0, self.brush.width), rng.uniform(0, self.brush.height)
                flake = disc(x, y, self._unit * rng.uniform(0.002, 0.007))
                self.brush.shape(flake, (255, 255, 255), rng.randint(140, 240), line=False)
        if asked & _RAIN and place not in ("deep", "space"):
            for _ in range(120):
                x, y = rng.uniform(0, self.brush.width), rng.uniform(0, self.brush.height)
                long = self._unit * rng.uniform(0.02, 0.05)
                self.brush.line([(x, y), (x - long * 0.3, y + long)], (235, 240, 245), 1.2, 120)


_PLACES = {
    "deep": "underwater reef coral aquarium diving",
    "space": "space galaxy cosmos orbit mars spaceship nebula",
    "city": "city street skyline tokyo york paris town cyberpunk neon skyscraper 都市 城市",
    "table": "table kitchen still studio product portrait",
    "sea": "sea ocean beach lake harbour harbor island waves wave 海",
    "land": "mountain mountains hill hills landscape valley desert meadow forest field 山",
}
_LOW_SUN = {"sunrise", "dawn", "sunset", "dusk", "morning", "evening", "日出", "夕"}
_SNOW = {"snow", "snowy", "winter", "christmas", "blizzard", "雪", "冬", "schnee", "neige"}
_RAIN = {"rain", "rainy", "storm", "thunder", "雨", "regen", "pluie"}


def _lives(subjects: list[Subject], place: str) -> bool:
    return bool(subjects) and subjects[0].place == place


def _quarter(corner: Point, radius: float, turn: int) -> list[Point]:
    """A quarter of a disc around the corner of a tile, opening into the tile."""
    angles = [(turn + step / 16) * math.pi / 2 for step in range(17)]
    return [
        corner,
        *((corner[0] + radius * math.cos(a), corner[1] + radius * math.sin(a)) for a in angles),
    ]


def _relit(base: Image.Image, mood: Palette) -> Image.Image:
    """A picture in other light: its tones kept, its colours drawn towards the mood's."""
    ramp = Image.linear_gradient("L").resize(base.size)
    sky, low = (Image.new("RGB", base.size, colour) for colour in (mood.top, mood.low))
    light = Image.composite(low, sky, ramp)
    if mood.dark:
        moonlit = ImageOps.colorize(
            base.convert("L"),
            mood.top,
            mix(mood.light, mood.low, 0.35),
            mid=mix(mood.low, mood.top, 0.2),
            midpoint=140,
        )
        return Image.blend(ImageChops.multiply(base, moonlit), moonlit, 0.55)
    return Image.blend(ImageChops.soft_light(base, light), light, 0.22)


def _thumbnails(sheet: Image.Image, references: Sequence[Image.Image], bottom: int) -> None:
    """The references in their order, numbered, as small prints in the lower left."""
    side = round(min(sheet.size) * 0.13)
    gap = side // 8
    pen = ImageDraw.Draw(sheet)
    for number, reference in enumerate(references, start=1):
        x, y = gap * 2 + (number - 1) * (side + gap * 2), bottom - side - gap * 3
        pen.rectangle((x - gap, y - gap, x + side + gap, y + side + gap), fill=PAPER)
        sheet.paste(ImageOps.fit(reference.convert("RGB"), (side, side)), (x, y))
        pen.ellipse((x - gap, y - gap, x + gap * 2.4, y + gap * 2.4), fill=INK)
        centre = (x + gap * 0.7, y + gap * 0.7)
        pen.text(centre, str(number), font=_font(gap * 2), fill=PAPER, anchor="mm")


def _caption(sheet: Image.Image, prompt: str, strip: int, palette: Palette) -> None:
    """Under the picture: its colours, the words of the prompt, and the stamp."""
    width, height = sheet.size
    pen = ImageDraw.Draw(sheet)
    top, middle = height - strip, height - strip / 2
    pen.rectangle((0, top, width, height), fill=PAPER)
    dot, x = strip * 0.15, strip * 0.5
    for colour in (palette.accent, palette.near, palette.far):
        pen.ellipse((x - dot, middle - dot, x + dot, middle + dot), fill=colour)
        x += dot * 1.5
    stamp_left = _stamp(pen, width - strip * 0.28, middle, strip)
    font = _font(round(strip * 0.36))
    text = _fitted(_drawable(prompt), font, stamp_left - x - strip * 0.7)
    pen.text((x + strip * 0.2, middle), text, font=font, fill=(92, 88, 96), anchor="lm")


def _stamp(pen: ImageDraw.ImageDraw, right: float, middle: float, strip: int) -> float:
    """SANDBOX, letter by letter with air between; where it begins."""
    font, word = _font(round(strip * 0.34)), "SANDBOX"
    air = strip * 0.07
    wide = sum(font.getlength(letter) + air for letter in word) - air
    left = right - wide - strip * 0.6
    box = (left, middle - strip * 0.31, right, middle + strip * 0.31)
    pen.rounded_rectangle(box, radius=strip * 0.31, fill=(214, 69, 56))
    x = left + strip * 0.3
    for letter in word:
        pen.text((x, middle), letter, font=font, fill=(255, 252, 245), anchor="lm")
        x += font.getlength(letter) + air
    return left


def _drawable(prompt: str) -> str:
    """The words of a prompt without directives; what the font cannot draw loses its accents, or
    is left out."""
    text = re.sub(r"\[sandbox[^\]]*\]", " ", prompt)[:400]
    plain = (letter if _has_glyph(letter) else normalize("NFKD", letter)[0] for letter in text)
    return " ".join("".join(letter if _has_glyph(letter) else " " for letter in plain).split())


def _fitted(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "...") > room:
        text = text[:-1]
    return text.rstrip() + "..."


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))


@cache
def _has_glyph(letter: str) -> bool:
    font = _font(24)
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff")) and letter.isprintable()
