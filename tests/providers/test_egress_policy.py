"""Which URLs and addresses calls may go to."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.errors import InvalidValue
from fileplane.providers.egress_policy import EgressPolicy, Place, parse_base_url, place_of
from fileplane.setting_sources import load_settings
from fileplane.settings import SettingsError

PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:4700::6810:85e5", "::ffff:8.8.8.8"]
INSIDE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.1.1",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:808:808::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "100::1",
]
METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
]
NO_URLS = [
    "",
    "api.openai.com",
    "ftp://example.com",
    "file:///etc/passwd",
    "gopher://example.com",
    "https://",
    "https:///v1",
    "https://user@example.com",
    "https://user:secret@example.com",
    "https://example.com@127.0.0.1",
    "https://example.com#@127.0.0.1",
    "https://example.com?x=1",
    "https://example.com/v1?x",
    "https://example.com/v1#x",
    "https://example.com\\@127.0.0.1",
    "https://example.com/../x",
    "https://example.com/./x",
    "https://example.com/%2e%2e/x",
    "https://example.com/a//b",
    "https://ex%61mple.com",
    "https://example.com:0",
    "https://example.com:65536",
    "https://example.com:x",
    "https://example.com:",
    "https://exämple.com",
    "https://example。com",
    "https://exa mple.com",
    "https://example.com\r\nHost: x",
    "https://example.com\x00",
    "https://\u2460.com",
    "https://-example.com",
    "https://example..com",
    "https://[::1",
    "https://[fe80::1%25eth0]",
    "https://[::ffff:127.0.0.1.5]",
    "https://" + "a" * 64 + ".com",
    "https://example.com/" + "a" * 2_048,
]
ODD_SPELLINGS = [
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "0x7f.0x0.0x0.0x1",
    "1.2.3.4.5",
    "256.1.1.1",
    "example.0x7f",
    "1",
]


def admits(rules: tuple[str, ...], text: str, *, host: str = "api.example.com", plain: bool = False) -> bool:
    return EgressPolicy(rules).admits(host, ipaddress.ip_address(text), plain=plain)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached_by_https_alone(address: str):
    assert admits((), address)
    assert not admits((), address, plain=True)


@pytest.mark.parametrize("address", INSIDE + METADATA)
def test_every_other_address_is_refused(address: str):
    assert not admits((), address)
    assert not admits((), address, plain=True)


@pytest.mark.parametrize("address", [address for address in INSIDE if "%" not in address])
def test_what_a_rule_names_is_allowed_by_plain_http_too(address: str):
    embedded = {
        "64:ff9b::7f00:1": "127.0.0.1",
        "64:ff9b::808:808": "8.8.8.8",
        "64:ff9b:1::a00:1": "10.0.0.1",
        "2002:7f00:1::": "127.0.0.1",
        "2002:808:808::": "8.8.8.8",
        "::7f00:1": "127.0.0.1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2": "0.0.0.0/0",
    }.get(address)
    rules = (address,) if embedded is None else (address, embedded)
    if address.startswith("::ffff:"):
        rules = (address.removeprefix("::ffff:"),)
    assert admits(rules, address, plain=True)
    assert admits(("*.example.com",), address, plain=True)
    assert not admits(("*.example.com",), address, host="example.com")
    assert not admits(("*.example.com",), address, host="badexample.com")


def test_a_translated_address_needs_both_the_translator_and_where_it_leads():
    assert not admits(("64:ff9b::/96",), "64:ff9b::a00:1")
    assert not admits(("10.0.0.0/8",), "64:ff9b::a00:1")
    assert admits(("64:ff9b::/96", "10.0.0.0/8"), "64:ff9b::a00:1")
    assert admits(("64:ff9b::/96",), "64:ff9b::808:808")


@pytest.mark.parametrize("address", METADATA)
def test_a_metadata_service_is_allowed_only_by_its_very_address(address: str):
    assert not admits(("0.0.0.0/0", "::/0", "169.254.0.0/16", "api.example.com", "*.example.com"), address)
    assert admits((address.removeprefix("::ffff:"),), address)


@pytest.mark.parametrize("text", NO_URLS, ids=lambda text: repr(text[:40]))
def test_what_is_no_base_url_or_could_be_read_in_two_ways_is_refused(text: str):
    with pytest.raises(InvalidValue) as caught:
        parse_base_url(text)
    assert caught.value.param == "x-portkey-custom-host"


@pytest.mark.parametrize("host", ODD_SPELLINGS)
def test_no_address_is_taken_in_an_odd_spelling(host: str):
    for url in (f"https://{host}/v1", f"http://{host}:80", f"https://{host}./v1"):
        with pytest.raises(InvalidValue):
            place_of(url)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("HTTPS://API.OpenAI.com:443/v1/", "https://api.openai.com/v1"),
        ("https://api.openai.com.", "https://api.openai.com"),
        ("http://llm_1.internal:8080", "http://llm_1.internal:8080"),
        ("https://[2001:DB8::0:1]:8443/a/b", "https://[2001:db8::1]:8443/a/b"),
        ("https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]"),
        ("http://10.0.0.1/v1", "http://10.0.0.1/v1"),
    ],
)
def test_a_base_url_is_brought_into_one_form(text: str, url: str):
    assert parse_base_url(text).url() == url


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1", "https://127.0.0.1", "https://[::1]", "https://[::ffff:127.0.0.1]", "http://example.com", "https://localhost",
     "https://x.localhost", "https://metadata.google.internal", "https://169.254.169.254", "http://93.184.215.14"],
)  # fmt: skip
def test_what_can_be_refused_without_asking_a_resolver_is(url: str):
    with pytest.raises(InvalidValue, match="egress_allow"):
        EgressPolicy().check_place(place_of(url))


def place_or_refusal(find: Callable[[], Place]) -> tuple[object, ...]:
    """What is found, without its path, or what is said instead."""
    try:
        place = find()
    except InvalidValue as error:
        return (error.message, error.param)
    return (place.scheme, place.host, place.port)


def checked_place(policy: EgressPolicy, url: str) -> Place:
    place = place_of(url)
    policy.check_place(place)
    return place


@given(
    scheme=st.sampled_from(["https://", "http://", "HTTPS://", "http:/", "http:", "ftp://", "//", ""]),
    authority=st.sampled_from(
        ["api.example.com", "api.example.com:8443", "API.example.com.", "x:", "x:0", "x:99999", "me@x", "127.0.0.1", "10.0.0.1", "[::1]",
         "[::1", "0x7f.1", "169.254.169.254", ""]
    ),
    tail=st.text("/?#@:.\\%[]a ", max_size=8),
)  # fmt: skip
def test_where_a_call_goes_is_read_alike_whether_its_origin_is_remembered_or_not(scheme: str, authority: str, tail: str):
    policy = EgressPolicy(("10.0.0.0/8",))
    url = scheme + authority + tail
    for _ in range(2):
        assert place_or_refusal(lambda: policy.origin_of(url)) == place_or_refusal(lambda: checked_place(policy, url))


def test_nothing_that_follows_an_origin_is_remembered():
    policy = EgressPolicy()
    places = {id(policy.origin_of(f"https://api.example.com{after}")) for after in ("/v1/files/a", "/v1/files/b", "?signature=c", "")}
    assert len(places) == 1


@pytest.mark.parametrize("rule", ["*", "*.", "http://x", "a b", "10.0.0.0/33", "x/24", "1.2.3", "*.*.x", "a..b", "-", "[::1]", "0x7f.1"])
def test_a_rule_that_is_none_keeps_the_server_from_starting(rule: str):
    with pytest.raises(SettingsError, match="egress_allow"):
        load_settings(environment={"FILEPLANE_EGRESS_ALLOW": rule})


def test_rules_are_hosts_patterns_addresses_and_networks():
    text = "LLM.internal., *.svc.cluster.local,10.1.0.0/16,fd00::/8,127.0.0.1"
    settings = load_settings(environment={"FILEPLANE_EGRESS_ALLOW": text}).settings
    assert settings.egress_allow == ("llm.internal", "*.svc.cluster.local", "10.1.0.0/16", "fd00::/8", "127.0.0.1")


@pytest.mark.parametrize("proxy", ["proxy:3128", "socks5://x", "http://", "http://x/path", "http://x?y", "http://x y"])
def test_a_proxy_that_is_none_keeps_the_server_from_starting_and_is_not_shown(proxy: str):
    with pytest.raises(SettingsError) as caught:
        load_settings(environment={"FILEPLANE_EGRESS_PROXY": proxy})
    assert proxy not in str(caught.value).replace("such as http://proxy.internal:3128", "")
