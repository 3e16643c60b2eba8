"""Local pictures reach the API only where the user said: prepared, once, under a link that works.

The object store is moto's S3 server on loopback, reached through s3fs; it does not verify the
signature of a link, so that a link works, not that nothing else does, is what is seen here.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import nanobanana_nb as nb
from nanobanana_nb import Client, ConfigError, NanoBananaError, RequestError, Sandbox, Studio
from nanobanana_nb.publishing import LINK_KEPT, Publisher
from nanobanana_nb.references import MARGIN, References

from .conftest import drawing_at, settings_for
from .test_pictures import encoded, noisy
from .test_preparing import SECRET, check_pixels_alone, photo

BUCKET = "pictures"
KEY = "AKIAEXAMPLE"
PASSWORD = "sesame-open-0123"


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An S3 server; its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The store as botocore's own environment leads to it, and an empty bucket that keeps every
    version, so that it can be counted how often something was put there."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": store,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": PASSWORD,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    urllib.request.urlopen(urllib.request.Request(f"{store}/moto-api/reset", method="POST")).close()
    made = boto3.client("s3")
    made.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    made.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield made
    made.close()


def versions(s3: Any) -> list[str]:
    """What was put into the bucket, each time."""
    return [one["Key"] for one in s3.list_object_versions(Bucket=BUCKET).get("Versions", [])]


@pytest.fixture
def publishing(
    s3: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Studio]:
    """A studio that has nothing but a sandbox that looks like the API, and NANOBANANA_PUBLISH."""
    monkeypatch.setenv("NANOBANANA_PUBLISH", f"s3://{BUCKET}/for the model")
    made = Studio(settings_for(sandbox.url, tmp_path / "home", sandbox="never"))
    yield made
    made.close()


def fetched(link: str) -> bytes:
    with urllib.request.urlopen(link) as answer:
        return bytes(answer.read())


def picture(folder: Path, name: str = "red.png", colour: str = "red") -> Path:
    Image.new("RGB", (40, 30), colour).save(folder / name)
    return folder / name


def failure(publisher: Publisher, file: Path) -> str:
    """The one line that says why it could not be published, without anything secret in it."""
    with pytest.raises(NanoBananaError) as caught:
        publisher.publish(file)
    told = str(caught.value)
    assert "\n" not in told
    assert len(told) < 500
    for secret in (PASSWORD, KEY, "Signature", "hunter2"):
        assert secret not in told
    return told


def test_a_telephones_photo_reaches_the_api_as_its_pixels(
    publishing: Studio, sandbox: Sandbox, s3: Any, tmp_path: Path
) -> None:
    """From a file to a signed link that the API fetches: upright, and nothing of where it was."""
    (tmp_path / "home at Mill Lane 7.jpg").write_bytes(photo(orientation=6, size=(96, 64)))
    made = publishing.wait(publishing.edit(tmp_path / "home at Mill Lane 7.jpg", "brighter"))
    (link,) = sandbox.tasks[-1].image_urls
    assert made.request.image_urls == (link,)
    assert "X-Amz-Signature" in link
    assert "X-Amz-Expires=86400" in link
    assert "Mill" not in link
    data = fetched(link)
    check_pixels_alone(data)
    (prepared,) = (tmp_path / "home" / "references").iterdir()
    assert data == prepared.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (64, 96)
        assert image.getpixel((32, 10))[1] > 200
    assert made.image.height > made.image.width  # the API saw it upright
    (key,) = versions(s3)
    assert key == f"for the model/{prepared.name}"
    assert s3.head_object(Bucket=BUCKET, Key=key)["ContentType"] == "image/jpeg"
    everything = b"".join(file.read_bytes() for file in (tmp_path / "home").rglob("*.j*"))
    assert PASSWORD.encode() not in everything


def test_the_same_picture_is_published_once(
    publishing: Studio, sandbox: Sandbox, s3: Any, tmp_path: Path
) -> None:
    """A loop of prompts, a copy under another name, another kernel; signed anew when needed."""
    red = picture(tmp_path)
    for prompt in ("brighter", "darker"):
        publishing.wait(publishing.edit(red, prompt))
    copy = shutil.copy(red, tmp_path / "copy.png")
    publishing.wait(publishing.edit([copy, picture(tmp_path, "blue.png", "blue")], "both"))
    assert len(set(versions(s3))) == len(versions(s3)) == 2
    assert len({link for task in sandbox.tasks for link in task.image_urls}) == 2
    other = Publisher(f"s3://{BUCKET}/for the model", loopback_allowed=True)
    assert fetched(other.publish(red)) == red.read_bytes()
    assert len(versions(s3)) == 2
    key = versions(s3)[0]
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"half of it")  # by somebody who was interrupted
    for file in (red, tmp_path / "blue.png"):
        Publisher(f"s3://{BUCKET}/for the model", loopback_allowed=True).publish(file)
    assert len(versions(s3)) == 4
    assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() != b"half of it"


def test_many_at_once_publish_it_once(s3: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    """Prepared, sent and looked at by one of them, while the others wait."""
    publisher = Publisher(f"s3://{BUCKET}", loopback_allowed=True)
    made = References(tmp_path / "references", None, publisher)
    (tmp_path / "x.jpg").write_bytes(photo())

    async def main() -> set[str]:
        async with Client("k", base_url=sandbox.url) as api:
            return set(
                await asyncio.gather(*(made.link(tmp_path / "x.jpg", api) for _ in range(9)))
            )

    assert len(asyncio.run(main())) == 1
    assert len(versions(s3)) == 1


def test_an_expired_result_is_published_from_its_file(
    publishing: Studio, sandbox: Sandbox, s3: Any
) -> None:
    """While its link lives long enough for a task to wait in the queue that is sent, and nothing
    is published."""
    fox = publishing.wait(publishing.generate("a fox"))
    publishing.wait(publishing.edit(fox, "at dawn"))
    assert sandbox.tasks[-1].image_urls == (fox.url,)
    assert versions(s3) == []
    soon = replace(fox.image, expires=datetime.now(UTC) + MARGIN + timedelta(seconds=60))
    publishing.wait(publishing.edit(soon, "at ten"))
    assert sandbox.tasks[-1].image_urls == (fox.url,)
    assert versions(s3) == []
    old = replace(fox.image, expires=datetime.now(UTC) + MARGIN - timedelta(seconds=1))
    noon = publishing.wait(publishing.edit(old, "at noon"))
    (link,) = sandbox.tasks[-1].image_urls
    assert fetched(link) == fox.path.read_bytes()
    assert noon.references == (fox.image.sha256,)
    assert len(versions(s3)) == 1


def test_a_file_that_is_drawn_over_is_cleaned_again(
    publishing: Studio, sandbox: Sandbox, s3: Any, tmp_path: Path
) -> None:
    """A clean picture was given; then a photo got its name, and an equal copy of the first was
    given: what is published is the first, never what is in the file by now."""
    red = picture(tmp_path)
    copy = Path(shutil.copy(red, tmp_path / "copy.png"))
    for publisher in (publishing, Studio(publishing.settings)):
        found = publisher.wait(publisher.look_at(red))
        assert found.preview
        red.write_bytes(photo())
        publisher.wait(publisher.edit(copy, f"brighter {publisher is publishing}"))
        assert fetched(sandbox.tasks[-1].image_urls[0]) == copy.read_bytes()
        shutil.copy(copy, red)
        if publisher is not publishing:
            publisher.close()
    assert len(versions(s3)) == 1
    assert all(SECRET.encode() not in fetched(link) for link in sandbox.tasks[-1].image_urls)


def test_in_memory_pictures_are_published(publishing: Studio, sandbox: Sandbox, s3: Any) -> None:
    """As files are."""
    publishing.wait(publishing.edit([noisy(40, 30), encoded(noisy(20, 9), "PNG")], "both"))
    assert [
        Image.open(io.BytesIO(fetched(link))).size for link in sandbox.tasks[-1].image_urls
    ] == [
        (40, 30),
        (20, 9),
    ]
    assert len(versions(s3)) == 2


def test_looking_publishes_nothing(publishing: Studio, s3: Any, tmp_path: Path) -> None:
    """A picture that is dropped into the panel stays here until it is drawn from."""
    found = publishing.wait(publishing.look_at(picture(tmp_path)))
    assert found.preview
    assert versions(s3) == []
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(RequestError, match="is not a picture"):
        publishing.wait(publishing.look_at(tmp_path / "x.png"))


def test_nothing_leaves_the_machine_unless_it_was_said_where_to(
    s3: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Not even with keys in the environment that would open a store: the three ways are named."""
    studio = Studio(settings_for(sandbox.url, tmp_path / "home", sandbox="never"))
    for given in (picture(tmp_path), noisy(9, 9), encoded(noisy(9, 9), "PNG")):
        with pytest.raises(RequestError) as caught:
            studio.wait(studio.edit(given, "brighter"))
        told = str(caught.value)
        assert "is on this machine, where the API, which needs a public link, cannot" in told
        assert "an https link" in told
        assert "NANOBANANA_PUBLISH=s3://" in told
        assert "NANOBANANA_PUBLISH=module:function" in told
        assert "\n" not in told
    assert sandbox.counts["submit"] == 0
    assert versions(s3) == []
    studio.close()


@pytest.mark.parametrize(
    ("where", "base", "error", "why"),
    [
        ("memory://x", "", ConfigError, "cannot sign links; set NANOBANANA_PUBLISH_BASE"),
        ("file:///nowhere/x", "", ConfigError, "cannot sign links; set NANOBANANA_PUBLISH_BASE"),
        ("memory://x", "http://example.com", RequestError, "is not https"),
        ("memory://x", "https://10.0.0.1/x", RequestError, "is on a private network"),
        ("memory://x", "not a link", RequestError, "is not a link"),
        ("pictures", "", ConfigError, "give a folder such as s3://bucket/folder"),
        ("fax://x", "", ConfigError, "cannot be opened: Protocol not known: fax"),
        ("fax://[x", "", ConfigError, "cannot be opened: Protocol not known: fax"),
        (f"s3://{BUCKET}/x", "", RequestError, "needs a public https link"),
    ],
)
def test_a_place_without_links_is_refused_before_anything_is_written(
    s3: Any, tmp_path: Path, where: str, base: str, error: type[Exception], why: str
) -> None:
    """Also a store on this machine, where the API in earnest cannot fetch."""
    told = failure(Publisher(where, base), picture(tmp_path))
    assert why in told
    with pytest.raises(error):
        Publisher(where, base).publish(picture(tmp_path))
    assert versions(s3) == []
    assert not Path("/nowhere").exists()


def test_trouble_with_the_store_is_one_line(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No bucket, no keys, no network: what, why, what to check; it works once that is set right."""
    red = picture(tmp_path)
    told = failure(Publisher("s3://other-bucket/x", loopback_allowed=True), red)
    assert told.startswith("The picture could not be put into 's3://other-bucket/x', so nothing")
    assert "bucket does not exist" in told
    publisher = Publisher(f"s3://{BUCKET}/x", loopback_allowed=True)
    with monkeypatch.context() as without:
        without.delenv("AWS_ACCESS_KEY_ID")
        without.delenv("AWS_SECRET_ACCESS_KEY")
        assert "credentials" in failure(publisher, red)
    with monkeypatch.context() as cut, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        cut.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        cut.setenv("AWS_MAX_ATTEMPTS", "1")
        assert "Could not connect to the endpoint URL" in failure(publisher, red)
    assert fetched(publisher.publish(red)) == red.read_bytes()


def test_links_are_signed_as_new_buckets_want_it(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In us-east-1 botocore's own choice is the old signature, which they refuse; what somebody
    has set up in fsspec's configuration counts all the same."""
    from fsspec.config import conf

    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    red = picture(tmp_path)
    place = f"s3://{BUCKET}/x"
    assert "X-Amz-Signature=" in Publisher(place, loopback_allowed=True).publish(red)
    monkeypatch.setitem(conf, "s3", {"config_kwargs": {"signature_version": "s3"}})
    assert "X-Amz-Signature=" not in Publisher(place, loopback_allowed=True).publish(red)


def test_a_script_with_fsspecs_own_environment(
    s3: Any, store: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """NANOBANANA_PUBLISH is all that is ours; nothing is printed when the script ends."""
    mine = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environment = {name: value for name, value in os.environ.items() if name not in mine}
    environment |= {name: value for name, value in drawing_at(sandbox.url).items() if value}
    environment |= {
        "FSSPEC_S3_ENDPOINT_URL": store,
        "FSSPEC_S3_KEY": KEY,
        "FSSPEC_S3_SECRET": PASSWORD,
        "NANOBANANA_PUBLISH": f"s3://{BUCKET}/script",
    }
    code = "import sys, nanobanana_nb as nb; print(nb.edit(sys.argv[1], 'brighter').path.exists())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(picture(tmp_path))],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.stderr == ""
    assert done.stdout.split()[-1] == "True"
    (key,) = versions(s3)
    assert key.startswith("script/")
    assert fetched(sandbox.tasks[-1].image_urls[0]) == (tmp_path / "red.png").read_bytes()


@pytest.mark.parametrize(
    ("where", "missing", "todo"),
    [
        ("s3://pictures/x", "s3fs", "%pip install s3fs"),
        ("gs://pictures/x", "gcsfs", "%pip install gcsfs"),
        ("s3://pictures/x", "fsspec.core", "%pip install s3fs"),
        ("memory://x", "fsspec.core", "%pip install fsspec, then run this again"),
    ],
)
def test_what_is_to_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, missing: str, todo: str
) -> None:
    """fsspec and its file systems are optional; the line can be pasted into a cell."""
    from fsspec.registry import _registry

    monkeypatch.setitem(sys.modules, missing, None)
    for scheme in ("s3", "gs"):
        monkeypatch.delitem(_registry, scheme, raising=False)
    assert todo in failure(Publisher(where), picture(tmp_path))


def test_no_half_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a write breaks off in the midst of it."""
    from fsspec.implementations.local import LocalFileOpener

    def half(self: LocalFileOpener, data: bytes) -> int:
        self.f.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalFileOpener, "write", half)
    publisher = Publisher((tmp_path / "public").as_uri(), "https://example.com/p")
    assert "No space left on device" in failure(publisher, picture(tmp_path))
    assert list((tmp_path / "public").iterdir()) == []


def test_secrets_in_the_address_are_not_shown(tmp_path: Path) -> None:
    """A password of the place itself."""
    for where in (
        "fax://me:hunter2@host/x",
        "hunter://me:hunter2@host/x?key=hunter2",
        "fax://me:hunter2/w@host/x",
        "fax://me:p/hunter2@host/x",
        "fax://me:p@hunter2@host/x",
        "fax://me:p?hunter2@host/x",
        "fax://host/x?key=p@hunter2&a='hunter2",
        f"fax://{'u' * 70}:hunter2{'p' * 20}@host/x",
    ):
        told = failure(Publisher(where), picture(tmp_path))
        assert "NANOBANANA_PUBLISH (Settings.publish) is 'fax://" in told.replace("hunter:", "fax:")


SECRETS = [
    f"{'x' * filled} https://{user}host/x?Signature={PASSWORD}"
    for filled in range(120, 200, 3)
    for user in (f"me:hunter2{'p' * 60}@", f"me:a/hunter2{'p' * 60}@", "")
]


@pytest.mark.parametrize("named", [False, True])
def test_secrets_are_taken_out_before_a_message_is_cut(tmp_path: Path, named: bool) -> None:
    """Cut first, a password has lost the sign by which it is known."""
    for secret in SECRETS:

        def publish(_: Path, secret: str = secret) -> str:
            if named:
                return "http://" + secret.rpartition("://")[2].replace("host/", f"host/{'y' * 90}")
            raise OSError(secret)

        told = failure(Publisher(publish), picture(tmp_path))
        assert "NANOBANANA_PUBLISH (Settings.publish) failed" in told or named
        assert "ppp" not in told


def test_only_a_place_that_cannot_sign_is_said_to_be_one(tmp_path: Path) -> None:
    """A place that cannot be written has not to do with links."""
    from fsspec import register_implementation
    from fsspec.implementations.memory import MemoryFileSystem

    class ReadOnly(MemoryFileSystem):
        protocol = "readonly"

        def sign(self, path: str, expiration: int = 100, **_: Any) -> str:
            return f"https://example.com/{path}"

        def pipe_file(self, *_: Any, **__: Any) -> None:
            raise NotImplementedError

    register_implementation("readonly", ReadOnly, clobber=True)
    told = failure(Publisher("readonly://x"), picture(tmp_path))
    assert "could not be put into 'readonly://x'" in told
    assert "sign" not in told


@pytest.mark.parametrize("scheme", ["gs", "gcs"])
def test_every_name_of_a_store_is_told_the_media_type(tmp_path: Path, scheme: str) -> None:
    """Google's has two; without it a browser would save the picture instead of showing it."""
    from fsspec import register_implementation
    from fsspec.implementations.memory import MemoryFileSystem
    from fsspec.registry import _registry

    seen: list[Any] = []

    class Google(MemoryFileSystem):
        protocol = scheme

        def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
            seen.append(options)

    had = _registry.get(scheme)
    register_implementation(scheme, Google, clobber=True)
    try:
        Publisher(f"{scheme}://x", "https://example.com").publish(picture(tmp_path))
    finally:
        _registry.pop(scheme)
        if had is not None:
            register_implementation(scheme, had, clobber=True)
    assert seen == [{"content_type": "image/png"}]


def test_a_folder_that_a_web_server_shows(sandbox: Sandbox, tmp_path: Path) -> None:
    """Any place that fsspec knows, under its public address; here one of this machine."""
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    folder = tmp_path / "public" / "pictures"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    more = {
        "publish": folder.as_uri(),
        "publish_base": f"http://127.0.0.1:{server.server_port}/",
        "sandbox": "never",
    }
    studio = Studio(settings_for(sandbox.url, tmp_path / "home", **more))
    studio.wait(studio.edit(picture(tmp_path), "brighter"))
    (link,) = sandbox.tasks[-1].image_urls
    (file,) = folder.iterdir()
    assert link == f"http://127.0.0.1:{server.server_port}/{file.name}"
    assert file.read_bytes() == (tmp_path / "red.png").read_bytes()
    studio.close()
    wrong = replace(studio.settings, publish_base=f"http://127.0.0.1:{server.server_port}/other")
    other = Studio(wrong)
    with pytest.raises(
        RequestError, match=r"red\.png' is not a picture: HTTP 404\. Nothing was sent"
    ):
        other.wait(other.edit(tmp_path / "red.png", "darker"))
    assert sandbox.counts["submit"] == 1
    other.close()
    server.shutdown()
    server.server_close()


def test_a_function_of_ones_own(sandbox: Sandbox, tmp_path: Path) -> None:
    """Is given the file as the API may have it, and gives its link."""
    given: list[Path] = []

    def publish(file: Path) -> str:
        given.append(file)
        return sandbox.share(file)

    (tmp_path / "x.jpg").write_bytes(photo())
    studio = Studio(settings_for(sandbox.url, tmp_path / "home", publish=publish, sandbox="never"))
    for prompt in ("brighter", "darker"):
        studio.wait(studio.edit(tmp_path / "x.jpg", prompt))
    assert len(given) == 1
    check_pixels_alone(given[0].read_bytes())
    assert SECRET.encode() not in fetched(sandbox.tasks[-1].image_urls[0])
    studio.close()


def test_a_function_is_asked_again_after_a_while(tmp_path: Path) -> None:
    """Its link may not live for ever."""
    now, given = [50.0], []

    def publish(file: Path) -> str:
        given.append(file)
        return f"https://example.com/{len(given)}"

    publisher = Publisher(publish, clock=lambda: now[0])
    red = picture(tmp_path)
    assert publisher.publish(red) == "https://example.com/1"
    now[0] += LINK_KEPT - 1
    assert publisher.publish(red) == "https://example.com/1"
    now[0] += 2
    assert publisher.publish(red) == "https://example.com/2"


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("posixpath:basename", "'mine.png' is not a link"),
        ("nowhere_at_all:publish", "cannot be found: No module named 'nowhere_at_all'"),
        ("posixpath:nothing", "cannot be found"),
        ("posixpath:sep", "is no function"),
    ],
)
def test_a_function_can_be_named(tmp_path: Path, named: str, why: str) -> None:
    """`module:function` in the environment is that function, or one line on why it is not."""
    file = picture(tmp_path).rename(tmp_path / "mine.png")
    with pytest.raises((ConfigError, RequestError), match=re.escape(why)):
        Publisher(named).publish(file)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (
            None,
            "NANOBANANA_PUBLISH (Settings.publish) gave a NoneType; it must return the https link",
        ),
        (Path("x.png"), "gave a PosixPath"),
        ("http://example.com/x.png", "is not https"),
        ("https://localhost/x.png", "is on a private network"),
        ("https://me:hunter2@example.com/x.png", "is not a plain link"),
        ("http://example.com/x.png?Signature=1", "is not https"),
        (KeyError("host"), "(Settings.publish) failed for red.png, so nothing was sent to the API"),
    ],
)
def test_a_function_that_gives_no_link(tmp_path: Path, result: Any, why: str) -> None:
    """What it gave instead, in one line."""

    def publish(file: Path) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    assert why in failure(Publisher(publish), picture(tmp_path))


def test_the_embedded_sandbox_publishes_nothing(s3: Any, tmp_path: Path) -> None:
    """What is drawn without a key needs no store, whatever is set up; it is prepared as well."""
    home = tmp_path / "home"
    more = {"publish": f"s3://{BUCKET}/x", "home": home, "pictures": home / "p"}
    studio = Studio(nb.Settings.load(sandbox="always", **more))
    (tmp_path / "x.jpg").write_bytes(photo(size=(96, 64)))
    made = studio.wait(studio.edit(tmp_path / "x.jpg", "brighter"))
    check_pixels_alone(fetched(made.request.image_urls[0]))
    assert made.image.height > made.image.width
    assert versions(s3) == []
    studio.close()
