"""Where settings come from, and that the key never shows."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path

import pytest

from nanobanana_nb import ConfigError, Settings
from nanobanana_nb.keys import Secret
from nanobanana_nb.settings import DRIVE
from nanobanana_nb.workshop import mirror_of

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


LOOPBACK = "http://127.0.0.1:8722"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://hooks.example.com", "https://hooks.example.com"),
        ("https://hooks.example.com:8443/nanobanana/", "https://hooks.example.com:8443/nanobanana"),
        ("https://fox-and-owl.trycloudflare.com/", "https://fox-and-owl.trycloudflare.com"),
    ],
)
def test_a_public_callback_address_is_kept(
    monkeypatch: pytest.MonkeyPatch, url: str, kept: str
) -> None:
    """Without the final slash, to which the token is added."""
    monkeypatch.setenv("NANOBANANA_CALLBACK_URL", url)
    assert Settings.load().callback_url == kept


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("hooks.example.com", "is not a link"),
        ("ftp://hooks.example.com", "is not a link"),
        ("http://hooks.example.com", "is not https"),
        ("https://user:word@hooks.example.com", "not a plain link"),
        ("https://hooks.example.com/?a=1", "goes on after a"),
        ("https://hooks.example.com/#a", "goes on after a"),
        (LOOPBACK, "is this machine"),
        ("https://localhost", "is this machine"),
        ("https://[::1]", "is this machine"),
        ("https://10.0.0.7", "no public name"),
        ("https://8.8.8.8", "no public name"),
        ("https://[2001:4860:4860::8888]", "no public name"),
        ("https://2130706433", "no public name"),
        ("https://0x7f.0x1", "no public name"),
        ("https://server", "no public name"),
        ("https://server.local", "no public name"),
        ("https://metadata.google.internal", "no public name"),
        ("https://a..b", "no public name"),
    ],
)
def test_a_callback_address_that_the_api_could_not_call(url: str, why: str) -> None:
    """Told at once and in one line: later it would be a callback that never comes."""
    with pytest.raises(ConfigError, match=why) as caught:
        Settings.load(callback_url=url)
    assert str(caught.value).startswith("NANOBANANA_CALLBACK_URL cannot be used")


def test_towards_a_loopback_api_a_loopback_callback_is_allowed() -> None:
    """The sandbox on this machine calls a receiver on this machine; no other private one."""
    here = Settings.load(base_url=LOOPBACK, callback_url="http://127.0.0.1:8723/")
    assert here.callback_url == "http://127.0.0.1:8723"
    with pytest.raises(ConfigError, match="is not https"):
        Settings.load(base_url=LOOPBACK, callback_url="http://10.0.0.7")


def test_a_mirror_is_a_folder_wherever_pictures_lie(tmp_path: Path) -> None:
    """One that was said is used, also beside the pictures; a disk as a whole is none."""
    pictures = tmp_path / "Pictures" / "nanobanana"
    for folder in (tmp_path / "Dropbox", tmp_path / "Pictures" / "backup", Path("/backup")):
        settings = Settings.load(api_key="k" * 20, pictures=pictures, mirror=str(folder))
        assert mirror_of(settings) == folder
    for useless in (pictures, None):
        settings = Settings.load(api_key="k" * 20, pictures=pictures, mirror=useless)
        assert mirror_of(settings) is None
    with pytest.raises(ConfigError, match="give a folder in it"):
        Settings.load(mirror="/")


def test_pictures_on_the_drive_need_no_copy_there() -> None:
    """Who keeps everything on the Drive has it there once."""
    on_the_drive = DRIVE.with_name("fox") / "pictures"
    assert mirror_of(Settings.load(api_key="k" * 20, pictures=on_the_drive, mirror=DRIVE)) is None
    elsewhere = Settings.load(api_key="k" * 20, pictures=Path("/content/pictures"), mirror=DRIVE)
    assert mirror_of(elsewhere) == DRIVE
