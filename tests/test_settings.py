"""Where settings come from, and that the key never shows."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path

import pytest

from nanobanana_nb import ConfigError, Settings
from nanobanana_nb.settings import Secret

CANARY = "canary-4711"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every variable of the design that exists so far."""
    for name, value in {
        "APIXO_API_KEY": CANARY,
        "APIXO_BASE_URL": "http://127.0.0.1:9/api/v1/",
        "NANOBANANA_HOME": str(tmp_path),
        "NANOBANANA_FIRST_POLL": "1.5",
        "NANOBANANA_POLL_INTERVAL": "2",
        "NANOBANANA_SANDBOX": "never",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.api_key == Secret(CANARY)
    assert settings.base_url == "http://127.0.0.1:9"
    assert (settings.home, settings.pictures) == (tmp_path, tmp_path / "pictures")
    assert (settings.first_poll, settings.poll_interval) == (1.5, 2.0)
    assert settings.sandbox == "never"


def test_an_argument_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Explicit wins."""
    monkeypatch.setenv("APIXO_API_KEY", "other")
    assert Settings.load(api_key=CANARY).api_key == Secret(CANARY)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"api_key": "line\nbreak"}, "line break"),
        ({"api_key": "Bearer x"}, "blank"),
        ({"api_key": '"x"'}, "quote"),
        ({"api_key": "schlüssel"}, "foreign"),
        ({"base_url": "http://api.apixo.ai"}, "https"),
        ({"base_url": "ftp://x"}, "not a link"),
        ({"base_url": "https://10.0.0.1"}, "private"),
        ({"sandbox": "sometimes"}, "auto, always or never"),
        ({"first_poll": -1.0}, "first_poll"),
    ],
)
def test_a_bad_setting_is_one_clear_line(given, said) -> None:
    """What, why, what next; and never the key itself."""
    with pytest.raises(ConfigError) as caught:
        Settings.load(**given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert given.get("api_key", "%") not in str(caught.value)


def test_a_bad_number_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by its variable."""
    monkeypatch.setenv("NANOBANANA_FIRST_POLL", "ten")
    with pytest.raises(ConfigError, match="NANOBANANA_FIRST_POLL is 'ten'"):
        Settings.load()


def test_the_key_never_shows() -> None:
    """Not in repr, str, format, asdict or an attribute dump; it refuses pickle and deep copies."""
    settings = Settings.load(api_key=CANARY)
    shown = [
        repr(settings),
        str(settings),
        f"{settings}",
        str(vars(settings)),
        f"{settings.api_key}",
    ]
    assert not any(CANARY in text for text in shown)
    for leak in (pickle.dumps, copy.deepcopy, dataclasses.asdict):
        with pytest.raises(TypeError, match="pickled"):
            leak(settings)


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """Here because a file stands in its place; before anything is sent."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="nothing was sent; set NANOBANANA_HOME"):
        Settings.load(home=tmp_path / "file" / "h", pictures=tmp_path).check_writable()
