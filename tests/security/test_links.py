"""Table U: which links are followed, whatever they look like and wherever they lead."""

from __future__ import annotations

import asyncio
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

import nanobanana_nb as nb
from nanobanana_nb import Client, ImageRequest, Sandbox, Studio, errors, links

from ..conftest import settings_for
from ..test_client import reply
from .hostile_files import good
from .internet import (
    ALSO_PUBLIC,
    API,
    CDN,
    PUBLIC,
    Internet,
    Proxy,
    authority,
    internet,
    serving,
)

__all__ = ["authority", "internet"]
FOURS = ["93.184.216.1", "93.184.216.2", "93.184.216.3"]
REAL = f"https://{API}"
"""The base URL of an API in earnest."""


def picture(handler: BaseHTTPRequestHandler) -> None:
    reply(handler, 200, b"a picture", {})


def leads_to(link: str, status: int = 302):
    """A server that sends everybody on to that link."""
    return lambda handler: reply(handler, status, b"", {"Location": link})


def fetch(url: str, base_url: str = REAL) -> bytes:
    """What the client downloads from a link that the API gave."""

    async def main() -> bytes:
        data = bytearray()
        async with Client("test-key", base_url=base_url) as api:
            await api.download(url, data.extend)
        return bytes(data)

    return asyncio.run(main())


def refusal(url: str, base_url: str = REAL) -> str:
    """The one line in place of a picture."""
    with pytest.raises(errors.DownloadError) as caught:
        fetch(url, base_url)
    said = str(caught.value)
    assert "\n" not in said
    assert "?" not in said  # the query may be a signature
    return said


# U1: what a link may look like.


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"http://{CDN}/a.png", "is not https"),
        ("file:///etc/passwd", "is not a link"),
        (f"ftp://{CDN}/a.png", "is not a link"),
        ("data:image/png;base64,AAAA", "is not a link"),
        ("javascript:alert(1)", "is not a link"),
        (f"//{CDN}/a.png", "is not a link"),
        (f"https:{CDN}/a.png", "is not a link"),
        ("https:///a.png", "is not a link"),
        (f"https://u:p@{CDN}/a.png", "is not a plain link"),
        (f"https://{CDN}@evil.com/a.png", "is not a plain link"),
        (f"https://@{CDN}/a.png", "is not a plain link"),
        (f"https://{CDN}\\@evil.com/a.png", "is not a plain link"),
        (f"https://{CDN}/a b.png", "is not a plain link"),
        (f"https://{CDN}/\n.png", "is not a plain link"),
        (f"https://{CDN}:99999/a.png", "is not a link"),
        ("https://[::1/a.png", "is not a link"),
        (f"https://{CDN}/\ud800.png", "is not a plain link"),
    ],
)
def test_u1_only_plain_https_links_are_followed(internet: Internet, url: str, says: str) -> None:
    """Refused by how they look: nothing is looked up, nobody is connected to."""
    assert says in refusal(url)
    assert internet.asked == internet.connected == []


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (f"https://{CDN}.evil.com/a.png", f"{CDN}.evil.com"),
        (f"https://evil.com/{CDN}/a.png", "evil.com"),
        (f"https://evil.com?@{CDN}/a.png", "evil.com"),
        (f"https://evil.com#@{CDN}/a.png", "evil.com"),
        (f"https://{CDN.upper()}/a.png", CDN),
        ("https://b\u00fccher.elsewhere.net/a.png", "xn--bcher-kva.elsewhere.net"),
    ],
)
def test_u1_a_link_is_judged_by_the_host_it_leads_to(
    internet: Internet, url: str, host: str
) -> None:
    """Whatever else in it looks like one: the name that is looked up is the one that counts."""
    internet.names = {host: [["10.0.0.1"]]}
    assert f"{host} leads into a private network" in refusal(url)
    assert internet.asked == [host]
    assert internet.connected == []


@pytest.mark.parametrize(
    "host", ["cdn.elsewhere.net%00.evil.com", "cdn\u2024elsewhere.net", "\uff43dn.elsewhere.net"]
)
def test_u1_names_that_are_read_in_two_ways_lead_nowhere(internet: Internet, host: str) -> None:
    """Nobody is connected to under a name that one library reads so, and another otherwise."""
    refusal(f"https://{host}/a.png")
    assert internet.connected == []


def test_u1_other_ports_are_as_good(internet: Internet) -> None:
    """The port is not what makes a host public; the address is."""
    with internet.site(picture) as site:
        assert fetch(f"https://{CDN}:{site.port}/a.png") == b"a picture"


# U2: where it may lead.

NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "0.0.0.0",
    "0.1.2.3",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.9",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:168.63.129.16",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "::8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "64:ff9b:1::808:808",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2002:a9fe:a9fe::",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "100:0:0:1::1",
    "4000::1",
]
PUBLIC_ONES = [
    "8.8.8.8",
    "93.184.216.34",
    "172.15.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "192.169.0.1",
    "100.63.0.1",
    "100.128.0.1",
    "11.0.0.1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00:1450:4001::200e",
    "64:ff9b::808:808",
    "::ffff:8.8.8.8",
    "2002:808:808::",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_u2_no_private_address_is_public(internet: Internet, address: str) -> None:
    """On every version of Python: nor one of IPv6 that leads on to one of IPv4. A link that has it
    in place of a name, or a name that leads to it, is not followed."""
    assert not links.is_public(address)
    internet.names[CDN] = [[address]]
    assert f"{CDN} leads into a private network" in refusal(f"https://{CDN}/a.png")
    literal = f"[{address}]" if ":" in address else address
    refusal(f"https://{literal}/a.png")
    assert internet.connected == []


@pytest.mark.parametrize("address", PUBLIC_ONES)
def test_u2_public_addresses_are_public(address: str) -> None:
    """Those just beside the private blocks too, and those of a network of IPv6 alone."""
    assert links.is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "017700000001"),
        *("127.0.0.1.", "0", "0x0", "1", "10.1", "0xa9fea9fe", "2852039166", "169.254.43518"),
        *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.0.0.1"),
        *("8.8.8.8.", "134744072", "0X7F.1", "evil.com.0x7f.1", "1.2.3.4.5"),
    ],
)
def test_u2_odd_spellings_of_addresses_are_refused(internet: Internet, host: str) -> None:
    """Resolvers understand them, readers do not: nothing is looked up, and a proxy is not asked."""
    assert "a spelling that hides where it leads" in refusal(f"https://{host}/a.png")
    assert internet.asked == internet.connected == []


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("metadata.google.internal", "169.254.169.254"),
        ("metadata.google.internal.", "169.254.169.254"),
        ("metadata", "169.254.169.254"),
        ("localhost.", "127.0.0.1"),
        ("a.localhost", "127.0.0.1"),
        ("localtest.evil.com", "127.0.0.1"),
        ("router.evil.com", "192.168.1.1"),
        ("ula.evil.com", "fd00::1"),
    ],
)
def test_u2_names_of_private_addresses_are_refused(
    internet: Internet, host: str, address: str
) -> None:
    """By where they lead: no list of names is complete."""
    internet.names[host] = [[address]]
    assert "leads into a private network" in refusal(f"https://{host}/a.png")
    assert internet.connected == []


def test_u2_one_private_address_among_others_is_enough(internet: Internet) -> None:
    """The order is whoever answers' to choose."""
    for answer in ([PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], [*[PUBLIC] * 9, "::1"]):
        internet.names[CDN] = [answer]
        assert "leads into a private network" in refusal(f"https://{CDN}/a.png")
    assert internet.connected == []


@pytest.mark.parametrize(
    ("address", "told"), [("198.18.0.7", True), ("198.19.255.1", True), ("198.51.100.1", False)]
)
def test_u2_what_a_vpn_answers_in_place_of_an_address_is_explained(
    internet: Internet, address: str, told: bool
) -> None:
    """Its user cannot know why every picture is refused; to others that would be no remedy."""
    internet.names[CDN] = [[address]]
    said = refusal(f"https://{CDN}/a.png")
    assert "leads into a private network" in said
    assert ("fake-ip DNS of a VPN; turn that off or set HTTPS_PROXY" in said) is told
    assert internet.connected == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "behind",
    [
        "https://169.254.169.254/latest",
        "https://metadata.google.internal/",
        "https://2130706433/",
        "http://127.0.0.1:1/",
        "http://cdn.elsewhere.net/",
        "file:///etc/passwd",
        "//10.0.0.1/a",
        "https://user@cdn.elsewhere.net/",
    ],
)
def test_u2_every_hop_is_checked(internet: Internet, behind: str, status: int) -> None:
    """As the link itself was."""
    internet.names["metadata.google.internal"] = [["169.254.169.254"]]
    with internet.site(leads_to(behind, status)) as site:
        refusal(f"https://{CDN}:{site.port}/a.png")
    assert internet.connected == [PUBLIC]


def test_u2_the_hop_after_a_good_one_is_checked_too(internet: Internet) -> None:
    """Two public hosts in a row earn the third no trust."""
    internet.names["evil.com"] = [[ALSO_PUBLIC]]
    second = internet.site(leads_to("https://[fd00::1]/"), "evil.com")
    with second, internet.site(leads_to(f"https://evil.com:{second.port}/b")) as first:
        assert "private network" in refusal(f"https://{CDN}:{first.port}/a")
    assert internet.connected == [PUBLIC, ALSO_PUBLIC]


def test_u2_references_are_looked_at_by_the_same_rules(internet: Internet) -> None:
    """A link in a notebook from a stranger cannot look into the network of whoever runs it."""
    internet.names["evil.com"] = [["192.168.1.1"]]

    async def look(url: str) -> None:
        async with Client("test-key", base_url=REAL) as api:
            with pytest.raises(errors.RequestError):
                await api.look(url, 1000)

    with internet.site(leads_to("https://evil.com/")) as site:
        for url in ("https://evil.com/", "https://10.0.0.1/", f"https://{CDN}:{site.port}/"):
            asyncio.run(look(url))
    assert internet.connected == [PUBLIC]


# The one loopback rule.


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_u2_loopback_is_for_an_api_on_loopback(internet: Internet, host: str) -> None:
    """The same link is followed when the API is here, and refused when it is not."""
    with serving(picture) as url:
        link = url.replace("127.0.0.1", host)
        assert fetch(link, "http://127.0.0.1:1") == b"a picture"
        assert "is not https" in refusal(link)
        assert "private network" in refusal(link.replace("http:", "https:"))


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/a", "https://10.0.0.1/a", "http://evil.com/a", "https://127.1/a"]
)
def test_u2_an_api_on_loopback_opens_nothing_else(internet: Internet, url: str) -> None:
    """Not the private network, nor http to anybody else."""
    refusal(url, "http://127.0.0.1:1")
    assert internet.connected == []


# U3: rebinding.


def test_u3_only_the_checked_address_is_connected_to(internet: Internet) -> None:
    """The name leads to this machine a moment after it was checked; nobody looks it up again. The
    host is still asked for by its name, in TLS and in HTTP."""
    internet.names[CDN] = [[PUBLIC], ["127.0.0.1"]]
    with internet.site(picture) as site:
        assert fetch(f"https://{CDN}:{site.port}/a.png") == b"a picture"
    assert internet.asked == [CDN]
    assert internet.connected == [PUBLIC]
    assert site.called == [CDN]
    assert [headers["Host"] for headers in site.seen] == [f"{CDN}:{site.port}"]


def test_u3_a_redirect_to_itself_is_looked_up_anew(internet: Internet) -> None:
    """And refused by what its name leads to by then."""
    internet.names[CDN] = [[PUBLIC], ["127.0.0.1"]]
    with internet.site(leads_to("/b")) as site:
        assert "leads into a private network" in refusal(f"https://{CDN}:{site.port}/a.png")
    assert internet.connected == [PUBLIC]


def test_u3_another_checked_address_is_tried(internet: Internet) -> None:
    """Where the network does not carry the first, as it would be with a name; and no fourth."""
    internet.names[CDN] = [["2606:4700::1", ALSO_PUBLIC, PUBLIC]]
    internet.unreachable = {ALSO_PUBLIC}
    with internet.site(picture) as site:
        assert fetch(f"https://{CDN}:{site.port}/a.png") == b"a picture"
        assert internet.connected == ["2606:4700::1", ALSO_PUBLIC, PUBLIC]
        internet.names[CDN] = [[f"2606:4700::{n}" for n in range(1, 9)]]
        refusal(f"https://{CDN}:{site.port}/a.png")
    assert internet.connected[3:] == ["2606:4700::1", "2606:4700::2", "2606:4700::3"]


@pytest.mark.parametrize("first", [1, 2])
def test_u3_both_kinds_of_addresses_are_tried(internet: Internet, first: int) -> None:
    """A host may have more of IPv6 than are tried, on a network that carries IPv4 alone; and the
    other way round."""
    sixes = [f"2606:4700::{n}" for n in range(1, 5)]
    internet.names[CDN] = [[sixes[0], *sixes[1:], PUBLIC] if first == 1 else [*FOURS, sixes[0]]]
    internet.unreachable = set(FOURS)
    with internet.site(picture) as site:
        url = f"https://{CDN}:{site.port}/a.png"
        if first == 1:
            assert fetch(url) == b"a picture"
            assert internet.connected == [sixes[0], PUBLIC]
        else:
            refusal(url)
            assert internet.connected == [FOURS[0], sixes[0], FOURS[1]]


def test_u3_an_address_that_is_silent_does_not_use_up_the_time(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a kind that the network here swallows: the next is tried long before a connection is given
    up, and the last has all the time that there is."""
    monkeypatch.setattr("nanobanana_nb.client.NEXT_ADDRESS", 0.05)
    monkeypatch.setattr("nanobanana_nb.client.DOWNLOAD_TIME", 5.0)
    internet.names[CDN] = [["2606:4700::1", ALSO_PUBLIC, PUBLIC]]
    internet.silent = {"2606:4700::1", ALSO_PUBLIC}
    with internet.site(picture) as site:
        assert fetch(f"https://{CDN}:{site.port}/a.png") == b"a picture"
        internet.silent = {PUBLIC}
        internet.names[CDN] = [[PUBLIC]]
        monkeypatch.setattr("nanobanana_nb.client.DOWNLOAD_TIME", 0.5)
        assert "it took more than" in refusal(f"https://{CDN}:{site.port}/a.png")


# Behind a proxy.


def proxied(monkeypatch: pytest.MonkeyPatch, proxy: Proxy, no_proxy: str = "") -> None:
    for name, value in {"https_proxy": proxy.url, "no_proxy": no_proxy}.items():
        monkeypatch.setenv(name, value)


def test_u3_a_proxy_is_given_the_name(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It resolves it itself, where this machine may not even be able to."""
    internet.names = {}
    with Proxy() as proxy, internet.site(picture) as site:
        proxied(monkeypatch, proxy)
        assert fetch(f"https://{CDN}:{site.port}/a.png") == b"a picture"
        assert proxy.asked == [f"CONNECT {CDN}:{site.port}"]
    assert internet.asked == []


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "169.254.169.254", "[::1]", "[64:ff9b::a9fe:a9fe]", "2130706433", "0x7f.1"),
        *("metadata.google.internal", "metadata.google.internal.", "localhost", "localhost."),
        *("a.localhost", "router", "router.lan", "printer.local", "10.0.0.1.", "db.corp"),
        *(
            "metadata.google\u3002internal",
            "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
        ),
    ],
)
def test_u2_a_proxy_is_not_asked_for_private_names(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """What cannot be looked up here is judged by its name."""
    with Proxy() as proxy:
        proxied(monkeypatch, proxy)
        refusal(f"https://{host}/a.png")
        assert proxy.asked == internet.connected == []


def test_u2_a_redirect_behind_a_proxy_is_checked(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hop, there as well."""
    with Proxy() as proxy, internet.site(leads_to("https://metadata.google.internal/")) as site:
        proxied(monkeypatch, proxy)
        assert "a name of a private network" in refusal(f"https://{CDN}:{site.port}/a.png")
        assert proxy.asked == [f"CONNECT {CDN}:{site.port}"]


@pytest.mark.parametrize("no_proxy", ["", CDN])
def test_u3_a_callback_address_is_knocked_at_through_the_proxy(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    """Where there is one for it; it may be the only way out."""

    async def knock(url: str) -> int:
        async with Client("test-key", base_url=REAL) as api:
            return await api.knock(url)

    with Proxy() as proxy, internet.site(picture) as site:
        proxied(monkeypatch, proxy, no_proxy)
        assert asyncio.run(knock(f"https://{CDN}:{site.port}/token")) == 200
        assert proxy.asked == ([] if no_proxy else [f"CONNECT {CDN}:{site.port}"])
    assert internet.asked == ([CDN] if no_proxy else [])


@pytest.mark.parametrize("no_proxy", [CDN, ".elsewhere.net", "elsewhere.net", "*", f"x,{CDN}"])
def test_u2_what_the_proxy_is_not_for_is_checked_here(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    """NO_PROXY names the hosts of one's own network: the first to be looked at."""
    with Proxy() as proxy, internet.site(picture) as site:
        proxied(monkeypatch, proxy, no_proxy)
        assert fetch(f"https://{CDN}:{site.port}/a.png") == b"a picture"
        assert internet.connected == [PUBLIC]
        internet.names[CDN] = [["10.0.0.1"]]
        assert "leads into a private network" in refusal(f"https://{CDN}:{site.port}/a.png")
        assert proxy.asked == []
    assert internet.connected == [PUBLIC]


def test_u2_an_api_on_loopback_uses_no_proxy(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what its answers link to is checked here."""
    internet.names[CDN] = [["10.0.0.1"]]
    with Proxy() as proxy, serving(picture) as url:
        proxied(monkeypatch, proxy)
        assert fetch(url, "http://127.0.0.1:1") == b"a picture"
        assert "private network" in refusal(f"https://{CDN}/a.png", "http://127.0.0.1:1")
        assert proxy.asked == []


# U4: no list of hosts.


@pytest.mark.parametrize("host", ["cdn.apixo.ai", "file.somewhere-new.io", "x.r2.dev", "8.8.8.8"])
def test_u4_an_unknown_public_host_is_fetched_from(internet: Internet, host: str) -> None:
    """The API's hosts change; a list of them would lose pictures that are paid for. (An address has
    no name to be certified: it is connected to, and its certificate refused.)"""
    internet.names[host] = [[ALSO_PUBLIC]]
    with internet.site(picture, host) as site:
        url = f"https://{host}:{site.port}/a.png"
        if host == "8.8.8.8":
            assert "certificate" in refusal(url).lower()
        else:
            assert fetch(url) == b"a picture"
    assert len(internet.connected) == 1


# U5: references.


@pytest.mark.parametrize(
    ("urls", "says"),
    [
        (["http://example.com/a.png"], "is not https"),
        (["https://10.0.0.1/a.png"], "private network"),
        (["https://localhost/a.png"], "private network"),
        (["https://127.1/a.png"], "hides where it leads"),
        (["https://u:p@example.com/a.png"], "is not a plain link"),
        (["file:///etc/passwd"], "is not a link"),
        ([f"https://example.com/{n}.png" for n in range(6)], "6 reference pictures are too many"),
    ],
)
def test_u5_a_reference_is_refused_before_it_is_sent(
    internet: Internet, urls: list[str], says: str
) -> None:
    """By the bare client too: the API is not reached for."""

    async def main() -> None:
        async with Client("test-key", base_url=REAL) as api:
            await api.submit(ImageRequest("x", image_urls=tuple(urls)))

    with pytest.raises(errors.RequestError, match=says):
        asyncio.run(main())
    assert internet.asked == internet.connected == []


def test_u5_a_reference_of_more_than_10_mb_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    """Before anything is paid for, whatever its server says of its length."""
    studio = Studio(settings_for(sandbox.url, tmp_path / "home"))
    huge = good("PNG") + bytes(10_000_000)
    with (
        serving(lambda handler: reply(handler, 200, huge, {})) as url,
        pytest.raises(errors.RequestError, match="larger than the 10 MB"),
    ):
        studio.wait(studio.edit(f"{url}/a.png", "at sunrise"))
    studio.close()
    assert sandbox.counts["submit"] == 0


def test_u5_a_signature_is_in_no_message_and_no_display(sandbox: Sandbox, tmp_path: Path) -> None:
    """The query of a link may be a secret; what is shown of a picture names the link without it."""
    studio = Studio(settings_for(sandbox.url, tmp_path / "home"))
    with serving(lambda handler: reply(handler, 200, good("PNG"), {})) as url:
        link = f"{url}/a.png?signature=SECRET"
        drawn = studio.wait(studio.edit(link, "at sunrise"))
        shown = [str(drawn._repr_mimebundle_()), repr(drawn), repr(drawn.image)]
        history = studio.wait(studio.history())
        shown += [str(history._repr_mimebundle_()), repr(history)]
    with serving(lambda handler: reply(handler, 404, b"", {})) as url:
        for broken in (f"{url}/a.png?signature=SECRET", "http://10.0.0.1/a?signature=SECRET"):
            with pytest.raises(errors.RequestError) as caught:
                studio.wait(studio.edit(broken, "at sunrise"))
            shown.append(str(caught.value))
    studio.close()
    assert drawn.request.image_urls == (link,)
    assert [text for text in shown if "SECRET" in text] == []


# U6: callback addresses.


@pytest.mark.parametrize(
    "url",
    [
        *("http://hooks.example.com/t", "https://8.8.8.8/t", "https://[2606:4700::1111]/t"),
        *("https://127.0.0.1/t", "https://localhost/t", "https://10.0.0.1/t", "https://2130706433"),
        *("https://u:p@hooks.example.com/t", "https://hooks/t", "https://hooks.internal/t"),
        *("https://hooks.example.com./t?x=1", "https://hooks.example.com/#t", "ftp://hooks.com/t"),
        *("https://metadata.google\u3002internal/t", "https://hooks.local./t", "https://0x7f.1/t"),
        *("//hooks.example.com/t", "hooks.example.com", "https://\uff48ooks\u3002local/t"),
    ],
)
def test_u6_only_a_public_https_name_can_be_called_back(internet: Internet, url: str) -> None:
    """Refused as a setting, and by the client before anything is sent."""
    with pytest.raises(nb.ConfigError, match="NANOBANANA_CALLBACK_URL cannot be used"):
        nb.Settings.load(api_key="k", callback_url=url)

    async def main(act: str) -> None:
        async with Client("test-key", base_url=REAL) as api:
            if act == "submit":
                await api.submit(ImageRequest("a fox"), url)
            else:
                await api.knock(url)

    for act in ("submit", "knock"):
        with pytest.raises(errors.RequestError):
            asyncio.run(main(act))
    assert internet.asked == internet.connected == []


def test_u6_a_public_https_name_is_taken(internet: Internet) -> None:
    """With and without a port and a path."""
    for url in ("https://hooks.example.com", "https://hooks.example.com:8443/a/b"):
        assert nb.Settings.load(api_key="k", callback_url=url).callback_url == url
