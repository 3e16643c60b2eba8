"""Table O: where the key may go. To the API's own origin, over TLS, and nowhere else."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import nanobanana_nb as nb
from nanobanana_nb import Client, ImageRequest, Studio, errors

from ..test_client import reply
from .hostile_files import good
from .internet import (
    API,
    CDN,
    PUBLIC,
    Authority,
    Internet,
    Proxy,
    Site,
    authority,
    internet,
    serving,
)

__all__ = ["authority", "internet"]
KEY = "sk-canary-0123456789"
PLAIN = {"Host", "Accept", "Accept-Encoding", "Connection", "User-Agent"}
"""All that a host of pictures is told."""
COOKIES = {"Set-Cookie": "session=stolen; Path=/; Max-Age=99999"}
Act = Callable[[BaseHTTPRequestHandler], None]


def picture(handler: BaseHTTPRequestHandler) -> None:
    reply(handler, 200, good("PNG"), COOKIES)


def api(results: list[str]) -> Act:
    """An API that draws what is at these links, and sets cookies."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        body = b'{"code":200,"data":1.5}'
        if "generateTask" in handler.path:
            body = b'{"code":200,"data":{"taskId":"task_1"}}'
        elif "statusTask" in handler.path:
            links = '","'.join(results)
            result = f'{{"resultUrls":["{links}"]}}'.replace('"', '\\"')
            body = f'{{"code":200,"data":{{"state":"success","resultJson":"{result}"}}}}'.encode()
        elif "/api/" not in handler.path:
            return picture(handler)
        return reply(handler, 200, body, COOKIES)

    return act


def leads_to(link: str, status: int = 302) -> Act:
    return lambda handler: reply(handler, status, b"", {"Location": link, **COOKIES})


def check_stranger(seen: list[dict[str, str]]) -> None:
    """It was asked for a picture, and was told nothing of who asks."""
    assert seen
    for headers in seen:
        assert set(headers) <= PLAIN
        assert KEY not in str(headers)


# O1: other origins.


@pytest.mark.parametrize("way", ["buffer", "file"])
@pytest.mark.parametrize("behind", ["other host", "redirect", "two redirects", "the API itself"])
def test_o1_who_hands_out_pictures_is_not_told_the_key(
    tmp_path: Path, way: str, behind: str
) -> None:
    """Neither the key, nor a cookie of anybody's, nor any header of ours, whether the bytes go to a
    buffer or to a file, and wherever the links lead. The API has its own key all along."""
    results: list[str] = []
    ours, stranger = serving(api(results)), serving(picture)
    second = serving(leads_to(f"{stranger.url}/b"))
    first = serving(leads_to(f"{second.url}/c"))
    leads = serving(leads_to(f"{ours.url}/files/a.png"))
    starts = {
        "other host": stranger,
        "redirect": second,
        "two redirects": first,
        "the API itself": leads,
    }
    results.append(f"{starts[behind].url}/a.png?signature=x")
    with ours as url, stranger, second, first, leads:
        data = in_buffer(url) if way == "buffer" else in_file(url, tmp_path)
    assert data == good("PNG")
    asked = [one for one in ours.seen if "Authorization" in one]
    assert {one["Authorization"] for one in asked} == {f"Bearer {KEY}"}
    assert not [one for one in ours.seen if "Cookie" in one]
    visited = {"other host": [stranger], "redirect": [second, stranger]}
    visited |= {"two redirects": [first, second, stranger], "the API itself": [leads]}
    for one in visited[behind]:
        check_stranger(one.seen)
    if behind == "the API itself":
        check_stranger([one for one in ours.seen if "Authorization" not in one])


def in_buffer(url: str) -> bytes:
    async def main() -> bytes:
        data = bytearray()
        async with Client(KEY, base_url=url) as made:
            task = await made.submit(ImageRequest("a fox"))
            done = await made.status(task)
            await made.balance()
            await made.download(done.image_urls[0], data.extend)
        return bytes(data)

    return asyncio.run(main())


def in_file(url: str, tmp_path: Path) -> bytes:
    home = tmp_path / "home"
    quick = {"first_poll": 0.0, "poll_interval": 0.02, "pictures": home / "pictures"}
    studio = Studio(nb.Settings.load(base_url=url, api_key=KEY, home=home, **quick))
    drawn = studio.wait(studio.generate("a fox"))
    studio.wait(studio.balance())
    studio.close()
    return drawn.image.path.read_bytes()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_o1_the_api_leads_nobody_elsewhere(status: int) -> None:
    """A redirect of the API is an error: who stands behind it sees neither key nor prompt."""

    async def main(url: str) -> None:
        async with Client(KEY, base_url=url) as made:
            for ask in (made.submit(ImageRequest("a fox")), made.status("t1"), made.balance()):
                with pytest.raises(errors.APIError, match="redirects elsewhere"):
                    await ask

    elsewhere = serving(picture)
    with elsewhere as target, serving(leads_to(target, status)) as url:
        asyncio.run(main(url))
    assert elsewhere.seen == []


def test_o1_references_and_callbacks_are_visited_by_a_stranger(tmp_path: Path) -> None:
    """What a person gives as a link is looked at without the key, as is their callback address."""
    host = serving(picture)

    async def main(url: str) -> None:
        async with Client(KEY, base_url="http://127.0.0.1:1") as made:
            await made.look(f"{url}/a.png", 10_000_000)
            await made.knock(f"{url}/token")
            await made.look(f"{url}/a.png", 10_000_000)

    with host as url:
        asyncio.run(main(url))
    check_stranger([{k: v for k, v in one.items() if k != "Content-Length"} for one in host.seen])


def test_o1_over_tls_and_between_public_names(internet: Internet) -> None:
    """The same on an internet of names and certificates, where the API is in earnest."""
    results: list[str] = []
    ours, cdn = internet.site(api(results), API), internet.site(picture, CDN)
    results.append(f"https://{CDN}:{cdn.port}/a.png")
    with ours, cdn:
        assert in_buffer(f"https://{API}:{ours.port}") == good("PNG")
    assert {one["Authorization"] for one in ours.seen} == {f"Bearer {KEY}"}
    check_stranger(cdn.seen)
    assert {*ours.called} == {API}
    assert {*cdn.called} == {CDN}


# O2: http.


@pytest.mark.parametrize(
    "url",
    [
        *("http://api.apixo.ai", "http://127.0.0.1.evil.com", "http://localhost.evil.com"),
        *("http://10.0.0.1", "http://0.0.0.0", "http://127.1", "http://localhost."),
        *(
            "http://127.0.0.1@evil.com",
            "http://evil.com#127.0.0.1",
            "ftp://127.0.0.1",
            "//evil.com",
        ),
        *("https://key@api.apixo.ai", "https://api.apixo.ai\\@evil.com", "https://127.1"),
    ],
)
def test_o2_the_key_goes_over_tls_or_stays_on_this_machine(
    internet: Internet, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By argument and by environment, for the client and for the studio: nobody is connected to."""
    with pytest.raises(nb.ConfigError, match="base URL"):
        Client(KEY, base_url=url)
    with pytest.raises(nb.ConfigError, match="base URL"):
        nb.Settings.load(api_key=KEY, base_url=url)
    monkeypatch.setenv("APIXO_BASE_URL", url)
    with pytest.raises(nb.ConfigError, match="base URL"):
        nb.Settings.load(api_key=KEY)
    assert internet.asked == internet.connected == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_o2_loopback_may_be_plain(host: str) -> None:
    """It was said on purpose, and no byte leaves this machine."""
    ours = serving(api([]))

    async def main(url: str) -> None:
        async with Client(KEY, base_url=url.replace("127.0.0.1", host)) as made:
            await made.balance()

    with ours as url:
        asyncio.run(main(url))
    assert [one["Authorization"] for one in ours.seen] == [f"Bearer {KEY}"]


# O3: certificates.


def unsigned(internet: Internet, host: str, tmp_path: Path) -> Any:
    """A certificate for the right host, of an authority that nobody trusts."""
    folder = tmp_path / "unknown"
    folder.mkdir()
    return Authority(folder).context(host)


CERTIFICATES: dict[str, Callable[[Internet, str, Path], Any]] = {
    "unknown authority": unsigned,
    "expired": lambda net, host, _: net.authority.context(host, -9, -1),
    "not yet valid": lambda net, host, _: net.authority.context(host, 1, 9),
    "other host": lambda net, _, __: net.authority.context("other.names.com"),
    "parent of the host": lambda net, host, _: net.authority.context(host.partition(".")[2]),
    "address in place of the name": lambda net, _, __: net.authority.context(PUBLIC),
}


@pytest.mark.parametrize("wrong", CERTIFICATES)
def test_o3_a_wrong_certificate_ends_it(internet: Internet, tmp_path: Path, wrong: str) -> None:
    """Before a single byte of a request is sent: the key, the prompt, and the wish for a picture
    stay here. It is said to be the certificate, and trying again by itself would not help."""
    host = API
    with Site(api([]), CERTIFICATES[wrong](internet, host, tmp_path)) as site:
        url = f"https://{host}:{site.port}"

        async def main() -> None:
            async with Client(KEY, base_url=url) as made:
                for ask in (made.submit(ImageRequest("a fox")), made.status("t"), made.balance()):
                    with pytest.raises(errors.TransportError, match="certificate") as caught:
                        await ask
                    assert not caught.value.retryable
                with pytest.raises(errors.DownloadError, match=r"(?i)certificate"):
                    await made.download(f"{url}/a.png", bytearray().extend)

        asyncio.run(main())
    assert site.called  # they did meet
    assert site.seen == []


def test_o3_the_right_certificate_is_good(internet: Internet) -> None:
    """What the tests above would show of anything that never works."""
    with internet.site(api([]), API) as site:

        async def main() -> None:
            async with Client(KEY, base_url=f"https://{API}:{site.port}") as made:
                assert await made.balance() == Decimal("1.5")
                await made.download(f"https://{API}:{site.port}/a.png", bytearray().extend)

        asyncio.run(main())
    assert len(site.seen) == 2


def test_o3_on_loopback_no_certificate_is_trusted(internet: Internet, tmp_path: Path) -> None:
    """Loopback is plain http; what speaks TLS there is not what was meant."""
    with Site(api([]), internet.authority.context("localhost")) as site:

        async def main() -> None:
            async with Client(KEY, base_url=f"https://localhost:{site.port}") as made:
                with pytest.raises(errors.TransportError, match="certificate"):
                    await made.balance()

        asyncio.run(main())
    assert site.seen == []


def test_o3_there_is_no_option_to_trust_anybody() -> None:
    """Neither of the settings nor of the client; that no code does it, `tests/gates` sees to."""
    names = {*nb.Settings.__dataclass_fields__, *inspect.signature(Client).parameters}
    assert not [name for name in names if re.search("verify|ssl|tls|cert|insecure|trust", name)]


# O4: two clients.


def test_o4_results_have_a_client_of_their_own(tmp_path: Path) -> None:
    """Without the key, credentials of the machine's (netrc, a proxy from the environment that its
    check did not choose), redirects of its own or a memory for cookies."""

    async def main(url: str, host: str) -> None:
        async with Client(KEY, base_url=url) as made:
            await made.balance()
            await made.submit(ImageRequest("a fox"))
            await made.download(host, bytearray().extend)
            pools = {name: one.http for name, one in made._made.items()}
        assert len({id(one) for one in pools.values()}) == len(pools) == 3
        assert pools["fetch"].trust_env is False
        for one in pools.values():
            assert one.auth is None
            assert not one.follow_redirects
            assert not list(one.cookies.jar)
            assert {name.lower() for name in one.headers} <= {name.lower() for name in PLAIN}
            assert KEY not in repr(vars(one))

    with serving(api([])) as url, serving(picture) as host:
        asyncio.run(main(url, host))


def test_o4_a_netrc_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, internet: Internet
) -> None:
    """Passwords of the machine's for a host of pictures stay on the machine, as they do for the
    API's, where they would stand in place of the key."""
    netrc = tmp_path / ".netrc"
    hosts = "".join(f"machine {one} login me password {KEY}\n" for one in (CDN, PUBLIC, API))
    netrc.write_text(f"{hosts}default login me password {KEY}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    results: list[str] = []
    ours, cdn = internet.site(api(results), API), internet.site(picture, CDN)
    results.append(f"https://{CDN}:{cdn.port}/a.png")
    with ours, cdn:
        in_buffer(f"https://{API}:{ours.port}")
    check_stranger(cdn.seen)
    assert {one["Authorization"] for one in ours.seen} == {f"Bearer {KEY}"}


def test_o4_a_proxy_is_not_told_the_key(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leads a tunnel to the API, and TLS is spoken within it."""
    results: list[str] = []
    ours, cdn = internet.site(api(results), API), internet.site(picture, CDN)
    results.append(f"https://{CDN}:{cdn.port}/a.png")
    with Proxy() as proxy, ours, cdn:
        monkeypatch.setenv("https_proxy", proxy.url)
        assert in_buffer(f"https://{API}:{ours.port}") == good("PNG")
    assert {*proxy.asked} == {f"CONNECT {API}:{ours.port}", f"CONNECT {CDN}:{cdn.port}"}
    assert KEY not in str(proxy.heads)
    check_stranger(cdn.seen)
