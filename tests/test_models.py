"""Bad requests are refused before anything is sent, each in one clear line."""

from __future__ import annotations

import pytest

from nanobanana_nb import ImageRequest, RequestError
from nanobanana_nb.models import ASPECT_RATIOS, OUTPUT_FORMATS

LINK = "https://example.com/a.png"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prompt": ""}, "empty"),
        ({"prompt": " \n\t "}, "empty"),
        ({"prompt": "x" * 5001}, "5,001 characters"),
        ({"prompt": None}, "must be text"),
        ({"prompt": "half \ud83e pair"}, "Character 6"),
        ({"prompt": "x", "aspect_ratio": "9:5"}, "16:9"),
        ({"prompt": "x", "output_format": "jpg"}, "png, jpeg"),
        ({"prompt": "x", "image_urls": [LINK] * 6}, "1 to 5"),
        ({"prompt": "x", "image_urls": ["cat.png"]}, "https://example.com"),
        ({"prompt": "x", "image_urls": [""]}, "not a link"),
        ({"prompt": "x", "image_urls": ["ftp://example.com/x.png"]}, "not a link"),
        ({"prompt": "x", "image_urls": ["https://u:p@example.com/x"]}, "plain link"),
        ({"prompt": "x", "image_urls": ["https://example.com/\ud83e.png"]}, "surrogate pair"),
        ({"prompt": "x", "image_urls": ["https://example.com/?a=\udc00"]}, "surrogate pair"),
        ({"prompt": "x", "image_urls": [None]}, "NoneType"),
        ({"prompt": "x", "image_urls": LINK}, "list of links"),
    ],
)
def test_what_the_api_would_refuse_is_refused_here(arguments, said) -> None:
    """The message names what is wrong and what is allowed; it is one line."""
    with pytest.raises(RequestError) as caught:
        ImageRequest(**arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_limits_themselves_are_allowed() -> None:
    """5,000 characters after trimming, five references, every ratio and format."""
    assert len(ImageRequest(" " + "é" * 5000 + "\n").prompt) == 5000
    assert ImageRequest("x", image_urls=[LINK] * 5).mode == "image-to-image"
    for ratio in ASPECT_RATIOS:
        for output_format in OUTPUT_FORMATS:
            ImageRequest("x", ratio, output_format)


def test_defaults() -> None:
    """1:1, or auto when there is a reference; png."""
    assert ImageRequest("x").aspect_ratio == "1:1"
    assert ImageRequest("x", image_urls=(LINK,)).aspect_ratio == "auto"
    assert ImageRequest("x").output_format == "png"
    assert ImageRequest("x").mode == "text-to-image"
