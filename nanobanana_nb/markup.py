"""The building blocks of HTML: text made safe, pictures, and the few styles that all cards share.

Styles are inline and take their colours from the page, so that they look right in light and dark,
and in front ends that strip style sheets.
"""

from __future__ import annotations

import base64
import html
from typing import Final

from .protocol import clean

NO_FORMULAS: Final = ("tex2jax_ignore", "mathjax_ignore")
"""Classes by which MathJax, old and new, leaves a dollar sign what it is."""
ROOT: Final = f'class="nanobanana {" ".join(NO_FORMULAS)}"'
"""Attributes of the outermost `<div>`."""
SMALL: Final = "font-size:12px;line-height:1.6"
FAINT: Final = f"{SMALL};opacity:.72"
EDGE: Final = "1px solid rgba(128,128,128,.35)"
AMBER: Final = "#d99a00"
_LAYER: Final = "position:absolute;inset:0"
_WHOLE: Final = "display:block;width:100%;height:100%;max-width:none;margin:0;object-fit:contain"
_BADGE: Final = (
    "position:absolute;top:8px;padding:0 7px;border-radius:4px;font-size:12px;line-height:20px;"
    "font-weight:600;color:#fff;background:rgba(0,0,0,.6)"
)


def escape(text: object, length: int = 300) -> str:
    """Foreign text as HTML: clean, on one line, of at most `length` characters."""
    return html.escape(clean(text, length), quote=True)


def dotted(*parts: str) -> str:
    """The parts that are not empty, clean and with dots between them; not HTML yet."""
    return " · ".join(clean(part, 600) for part in parts if part)


def capital(words: str) -> str:
    """The same words with a capital letter first; not HTML yet."""
    return words[:1].upper() + words[1:]


def base64_of(data: bytes) -> str:
    """Bytes as they stand in a data link and in a mimebundle."""
    return base64.b64encode(data).decode("ascii")


def image(
    preview: bytes,
    alt: str,
    width: int,
    height: int,
    side: int,
    *,
    title: str = "",
    radius: int = 6,
    onload: str = "",
) -> str:
    """An `<img>` of a small JPEG, at most `side` pixels wide and high, narrower where it must be.

    `width` and `height` are those of the full picture in pixels; its ratio holds the place.
    `onload` is code of ours, in which no foreign text may stand.
    """
    shown_width, shown_height = fitted(width, height, side)
    handler = f'onload="{html.escape(onload)}" ' if onload else ""
    return (
        f'<img {handler}src="data:image/jpeg;base64,{base64_of(preview)}" alt="{escape(alt)}" '
        f'title="{escape(title)}" width="{shown_width}" height="{shown_height}" '
        f'style="display:block;max-width:100%;height:auto;margin:0;border-radius:{radius}px">'
    )


def fitted(width: int, height: int, side: int) -> tuple[int, int]:
    """The size at which a picture is shown: at most `side` pixels wide and high."""
    scale = min(1.0, side / max(width, height, 1))
    return round(width * scale), round(height * scale)


def add_slider(width: int, height: int, side: int) -> str:
    """Code for the `onload` of the second of two pictures: a slider between them, below the two.

    Its box has the ratio `width` to `height`, and `side` pixels on the longer side. Made by a
    script, it is not there where scripts do not run, however much a sanitizer leaves of the page;
    and each picture is in the notebook only once.
    """
    scale = side / max(width, height, 1)
    box = _slider(max(1, round(width * scale)), max(1, round(height * scale)))
    return (
        "const root = this.closest('.nanobanana');"
        "if (!root.querySelector('input')) {"
        f"root.insertAdjacentHTML('beforeend', `{box}`);"
        "const [a, b, left, right] = root.querySelectorAll('img');"
        "left.src = a.src; right.src = b.src;"
        "}"
    )


def _slider(width: int, height: int) -> str:
    """Two layers, each cut off at the line, so that nothing shows beside one of another ratio."""
    frame = (
        f"--at:50%;position:relative;aspect-ratio:{width}/{height};overflow:hidden;"
        "border-radius:6px;background:rgba(128,128,128,.14)"
    )
    return (
        f'<div style="max-width:{width}px;margin-top:16px"><div dir="ltr" style="{frame}">'
        f'<div style="{_LAYER};clip-path:inset(0 calc(100% - var(--at)) 0 0)">'
        f'<img alt="" style="{_WHOLE}"><span style="{_BADGE};left:8px">A</span></div>'
        f'<div style="{_LAYER};clip-path:inset(0 0 0 var(--at))">'
        f'<img alt="" style="{_WHOLE}"><span style="{_BADGE};right:8px">B</span></div>'
        f"{_line()}{_handle()}</div>"
        f'<div style="{FAINT};margin-top:4px">Drag the line, or use the arrow keys.</div></div>'
    )


def _line() -> str:
    """The line between the two, and on it a knob, which has a ring while the keyboard moves it."""
    line = (
        "position:absolute;top:0;bottom:0;left:var(--at);width:2px;margin-left:-1px;"
        "background:#fff;box-shadow:0 0 0 1px rgba(0,0,0,.35)"
    )
    knob = (
        "position:absolute;top:50%;left:clamp(14px,var(--at),100% - 14px);margin:-14px;"
        "max-width:none;border-radius:50%;background:#fff;outline:var(--ring,0px) solid #1a73e8;"
        "box-shadow:0 0 0 1px rgba(0,0,0,.2),0 1px 4px rgba(0,0,0,.4)"
    )
    return (
        f'<div style="{line}"></div><svg viewBox="0 0 28 28" width="28" height="28" style="{knob}" '
        'aria-hidden="true" fill="none" stroke="#333" stroke-width="2" stroke-linecap="round" '
        'stroke-linejoin="round"><path d="M11 9l-5 5 5 5M17 9l5 5-5 5"/></svg>'
    )


def _handle() -> str:
    """What is dragged: an input that lies unseen over everything, for mouse, touch and keys.

    Lab leaves it its keys for the sake of `data-lm-suppress-shortcuts`.
    """
    put = "this.parentNode.style.setProperty"
    move = (
        f"{put}('--at', this.value + '%');"
        "this.setAttribute('aria-valuetext', Math.round(this.value) + ' % of A')"
    )
    focus = f"{put}('--ring', this.matches(':focus-visible') ? '3px' : '0px')"
    return (
        '<input type="range" min="0" max="100" step="any" value="50" '
        'aria-label="Line between A on its left and B on its right" aria-valuetext="50 % of A" '
        f'data-lm-suppress-shortcuts="true" oninput="{move}" onfocus="{focus}" '
        f"""onblur="{put}('--ring', '0px')" style="{_LAYER};width:100%;height:100%;margin:0;"""
        'padding:0;opacity:0;cursor:ew-resize;touch-action:pan-y">'
    )
