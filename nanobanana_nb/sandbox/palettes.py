"""Colours and moods: what the words of a prompt say about light, season, colour and hand."""

from __future__ import annotations

import re
from dataclasses import dataclass

from PIL import ImageColor

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """The colours of a landscape, from the sky down, and one that stands out."""

    top: Colour
    low: Colour
    light: Colour
    far: Colour
    near: Colour
    ground: Colour
    accent: Colour
    dark: bool = False


def rgb(code: str) -> Colour:
    """A colour from its hexadecimal code."""
    red, green, blue = ImageColor.getrgb(code)[:3]
    return red, green, blue


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """``one`` with this share (0 to 1) of ``other``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _palette(codes: str, dark: bool = False) -> Palette:
    top, low, light, far, near, ground, accent = (rgb(f"#{code}") for code in codes.split())
    return Palette(top, low, light, far, near, ground, accent, dark)


_DAWN = _palette("6f86bf ffcfae fff3d0 d39aa8 8f6488 4d4068 e8604c")
_DUSK = _palette("413f80 ff9a68 ffe08a ae5a7c 6e3a68 36264e ffc14d")
_NIGHT = _palette("0e1638 3b5088 f7f0d6 2d3d70 1d2a54 121b3a f2b84b", dark=True)
_WINTER = _palette("8fb4d6 e9f1f7 ffffff cbdcea a7c1d8 f3f7fb d8504d")
_AUTUMN = _palette("e9cfa0 fbeed3 fff7e2 d8a765 b9692f 7d4123 d9482b")
_SPRING = _palette("9fd3e8 fbf3dd fff4c4 bcdba6 86bd7c 4c8f5f f08aa0")
_FOREST = _palette("b4d4ca f0f4e2 fff8da 8fb7a1 528873 2b5b4d e0913f")
_SEA = _palette("6fb3d9 e3f3f2 fff4c9 8fc3cf 3d8fae 1f5f86 f2695c")
_DESERT = _palette("84b6c4 fae3bd fff3cc e3a873 c97f4e 96512f 2f7f79")
_STORM = _palette("4f5d6e a9b5bd e6e9e6 77858f 53616c 343f49 e2b33c")
_CANDY = _palette("b9a6e8 ffd9e6 fff6d6 f4a8c6 c983c7 8c62b8 35b8b0")
_GREY = _palette("9a9a98 f0efec ffffff bdbcb9 8c8b89 4a4948 2b2b2b")
_SPACE = _palette("0a0d24 2b1f55 ffe9b8 4b3a86 33275f 1c1740 ff7a59", dark=True)

_MOODS: tuple[tuple[Palette, str], ...] = (
    (_DAWN, "sunrise dawn morning 日出 黎明 朝 aube amanecer sonnenaufgang"),
    (_DUSK, "sunset dusk evening twilight golden 夕 日落 黄昏 sonnenuntergang"),
    (_SPACE, "space galaxy cosmos cosmic planet nebula star astronaut 宇宙 星"),
    (_NIGHT, "night midnight moon moonlight dark nocturnal 夜 nacht nuit noche"),
    (_WINTER, "snow snowy winter ice icy frost frozen christmas 雪 冬 schnee neige"),
    (_AUTUMN, "autumn fall october harvest 秋 herbst automne"),
    (_SPRING, "spring meadow garden blossom easter 春 花 frühling"),
    (_FOREST, "forest wood jungle woodland moss 森 林 wald forêt bosque"),
    (_DESERT, "desert sand dune canyon savanna safari 砂漠 沙漠 wüste"),
    (_STORM, "storm rain rainy thunder fog foggy mist grim 雨 regen pluie"),
    (_CANDY, "candy dream dreamy pastel kawaii magic unicorn fairy cute"),
    (_GREY, "monochrome noir grayscale greyscale bw"),
    (_SEA, "sea ocean beach lake river island harbour harbor 海 meer mer"),
)  # fmt: skip
_PLAIN = (_SPRING, _FOREST, _SEA, _DAWN, _AUTUMN)
SEASIDE = _SEA

_COLOURS: dict[str, Colour] = {
    word: rgb(code)
    for words, code in (
        ("red crimson scarlet 赤 红 rot rouge rojo", "#d8413a"),
        ("orange", "#ee8434"),
        ("yellow gold 黄 gelb jaune", "#f2c233"),
        ("green emerald 绿 緑 grün vert verde", "#4f9d58"),
        ("teal turquoise cyan", "#2f9f9b"),
        ("blue azure 蓝 青 blau bleu azul", "#3a72c4"),
        ("purple violet 紫 lila", "#7d55b5"),
        ("pink rose magenta 粉", "#ee7fa4"),
        ("brown 茶", "#8a5a38"),
        ("black 黒 黑 schwarz noir", "#33323b"),
        ("white 白 weiß blanc", "#f4f1ea"),
        ("gray grey silver", "#98999c"),
    )
    for word in words.split()
}

_STYLES = {
    "watercolor": "watercolor watercolour aquarelle aquarell gouache 水彩 acuarela",
    "ink": "ink sketch pencil drawing lineart sumi engraving charcoal etching 墨 tusche encre",
    "oil": "oil impressionist painting gogh monet brushwork 油画 öl huile",
    "pixel": "pixel pixelart 8bit retro sprite ピクセル 像素",
}


def words_of(prompt: str) -> list[str]:
    """The words of a prompt in lower case, each also without a plural s; other scripts than
    those with spaces give their single characters too."""
    found: list[str] = []
    for word in re.findall(r"[^\W_]+", re.sub(r"\[sandbox[^\]]*\]", " ", prompt.lower())):
        found.append(word)
        if len(word) > 3 and word.endswith("s"):
            found.append(word[:-1])
        if not word.isascii():
            found += list(word) + [word[i : i + 2] for i in range(len(word) - 1)]
    return found


def mood_of(words: list[str]) -> Palette | None:
    """The palette that the words ask for, if they do."""
    asked = set(words)
    return next((palette for palette, names in _MOODS if asked & set(names.split())), None)


def plain_palette(number: int, against: Colour | None) -> Palette:
    """One of the palettes for a prompt that asks for none; ``against`` it shall stand out."""
    if against is None:
        return _PLAIN[number % len(_PLAIN)]
    apart = sorted(_PLAIN, key=lambda palette: -_distance(palette.near, against))
    return apart[number % 3]


def _distance(one: Colour, other: Colour) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def colour_of(words: list[str]) -> Colour | None:
    """The first colour that the words name."""
    return next((_COLOURS[word] for word in words if word in _COLOURS), None)


def style_of(words: list[str]) -> str:
    """``watercolor``, ``ink``, ``oil``, ``pixel`` or ``flat``."""
    asked = set(words)
    return next((style for style, names in _STYLES.items() if asked & set(names.split())), "flat")
