"""Where providers may be: which URLs and addresses calls may go to, decided without touching the network.

Callers name hosts, and an operator's network trusts the machine that Fileplane runs on. So everything is refused that is not a public
address reached by HTTPS, unless the setting ``egress_allow`` names it:

- a host, or a pattern of hosts, which may then have any address and speak plain HTTP;
- an address or a network, to which any host may lead, by plain HTTP too.

Addresses that clouds keep for their metadata services hand out credentials of the machine. Neither a pattern nor a wider network allows
one of them, only an entry that is exactly that address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

from fileplane.errors import InvalidValue

Address: TypeAlias = IPv4Address | IPv6Address

CUSTOM_HOST: Final = "x-portkey-custom-host"
_LONGEST_BASE_URL: Final = 2_048
_LONGEST_URL: Final = 8_192
"""Of any other, such as those that object stores sign: a session's token alone has some 2,000 characters."""
_URL_CHARACTERS: Final = re.compile(r"[A-Za-z0-9:/?#\[\]@!$&'()*+,;=._~%-]+")
_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMERIC: Final = re.compile(r"(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d+))*")
_ORIGIN: Final = re.compile(r"https?://[^/?#]*")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~@:=+-]+)*/?")
_LONGEST_HOST: Final = 253
_REMEMBERED: Final = 256
"""How many of the last hosts and base URLs need not be read again: what they say never changes, only what the policy makes of them."""
_LOCAL_NAMES: Final = ("localhost", "local", "internal")

_METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254",
                 "fd00:ec2::23", "fd20:ce::254")
)  # fmt: skip
_TRANSLATED: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "2001::/32", "2002::/16")))
_UNSUITABLE: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4", "fec0::/10", "100::/64",
                 "2001:db8::/32", "5f00::/16", "3fff::/20")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A URL taken apart: where it leads, without anything that would change that."""

    scheme: str
    host: str
    """In lower case; an IPv6 address without brackets."""
    port: int
    path: str
    """Without a slash at its end."""

    @property
    def plain(self) -> bool:
        """Whether it is plain HTTP."""
        return self.scheme == "http"

    @property
    def address(self) -> Address | None:
        """The address, where the host is one."""
        return _address_of(self.host)

    def url(self) -> str:
        """Put together again."""
        return self.origin() + self.path

    def origin(self) -> str:
        """Without the path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 80 if self.plain else 443
        return f"{self.scheme}://{host}{'' if self.port == default else f':{self.port}'}"


@lru_cache(maxsize=_REMEMBERED)
def parse_base_url(text: str, *, param: str = CUSTOM_HOST) -> Place:
    """A base URL. Raises :class:`~fileplane.errors.InvalidValue` for what is none, or could be read in two ways."""
    if len(text) > _LONGEST_BASE_URL:
        raise _no_url(param, "is too long")
    parts = _split(text, param)
    if parts.query or parts.fragment or "?" in text or "#" in text or not _PATH.fullmatch(parts.path) or _climbs(parts.path):
        raise _no_url(param, "has a query, a fragment or a path that a base URL cannot have")
    return place_of(text, param=param)


def place_of(text: str, *, param: str = CUSTOM_HOST) -> Place:
    """Where any URL leads. Raises :class:`~fileplane.errors.InvalidValue` for what is none, or could be read in two ways."""
    parts = _split(text, param)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _no_url(param, "has a port that is none") from error
    if parts.netloc.endswith(":") or port == 0:
        raise _no_url(param, "has a port that is none")
    scheme = parts.scheme
    return Place(scheme, _host(host, param), port or (80 if scheme == "http" else 443), parts.path.rstrip("/"))


def _check_characters(text: str, param: str) -> None:
    if len(text) > _LONGEST_URL or not _URL_CHARACTERS.fullmatch(text):
        raise _no_url(param, "is too long, or has characters that no URL has")


def _split(text: str, param: str) -> SplitResult:
    _check_characters(text, param)
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise _no_url(param, "is none") from error
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise _no_url(param, "does not begin with https:// or http://")
    if "@" in parts.netloc or "%" in parts.netloc:
        raise _no_url(param, "has a user name or an encoded host")
    return parts


def _climbs(path: str) -> bool:
    return any(segment in {".", ".."} for segment in path.split("/"))


@lru_cache(maxsize=_REMEMBERED)
def _address_of(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@lru_cache(maxsize=_REMEMBERED)
def _host(host: str, param: str) -> str:
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise _no_url(param, "has a host that is no IPv6 address") from error
    host = host.removesuffix(".")
    if _NUMERIC.fullmatch(host):
        # inet_aton reads 0x7f.1, 127.1 and 2130706433 as addresses, other readers as names: nobody needs them.
        try:
            return str(IPv4Address(host))
        except ValueError as error:
            raise _no_url(param, "has an IPv4 address that is not written as four decimal numbers") from error
    if len(host) > _LONGEST_HOST or not _HOST.fullmatch(host) or _NUMERIC.fullmatch(host.rpartition(".")[2]):
        raise _no_url(param, "has a host that is no name; write others than ASCII ones in Punycode")
    return host


def _no_url(param: str, reason: str) -> InvalidValue:
    return InvalidValue(f"The URL {reason}. Send one such as https://llm.example.com/v1.", param=param)


class EgressPolicy:
    """The rules of ``egress_allow``, as :mod:`fileplane.settings` has checked them."""

    def __init__(self, rules: Iterable[str] = ()) -> None:
        self._allowed_origin = lru_cache(maxsize=_REMEMBERED)(self._allowed)
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._hosts: set[str] = set()
        self._suffixes: list[str] = []
        for rule in rules:
            try:
                self._networks.append(ipaddress.ip_network(rule, strict=False))
            except ValueError:
                if rule.startswith("*."):
                    self._suffixes.append(rule[1:])
                else:
                    self._hosts.add(rule)

    def names(self, host: str) -> bool:
        """Whether a rule names the host, which then may be anywhere and speak plain HTTP."""
        return host in self._hosts or any(host.endswith(suffix) for suffix in self._suffixes)

    def origin_of(self, url: str) -> Place:
        """Where a call of ``url`` goes, if it may; the path may be missing. Raises as :func:`place_of` and :meth:`check_place`.

        Asked of every call, and so remembered of the last origins. What follows an origin, which may be a signature, is not kept.
        """
        _check_characters(url, CUSTOM_HOST)
        origin = _ORIGIN.match(url)
        return self._allowed(url) if origin is None else self._allowed_origin(origin[0])

    def _allowed(self, url: str) -> Place:
        place = place_of(url)
        self.check_place(place)
        return place

    def check_place(self, place: Place) -> None:
        """What can be said before a name is resolved. Raises :class:`~fileplane.errors.InvalidValue`."""
        address = place.address
        if address is not None:
            if not self.admits(place.host, address, plain=place.plain):
                raise refused()
        elif not self.names(place.host) and not self._networks and (place.plain or place.host.rpartition(".")[2] in _LOCAL_NAMES):
            raise refused()

    def admits(self, host: str, address: Address, *, plain: bool) -> bool:
        """Whether a connection for ``host`` may go to ``address``."""
        if _scoped(address):
            return False
        embedded = _embedded(address)
        if address in _METADATA:
            return self._exactly(address)
        named = self.names(host)
        if embedded:
            # The translator's prefix is one thing, where it leads to another: both have to be allowed.
            outer = named or self._networked(address) or (isinstance(address, IPv6Address) and address.ipv4_mapped is not None)
            return outer and all(self.admits(host, inner, plain=plain) for inner in embedded)
        if named or self._networked(address):
            return True
        return not plain and _public(address)

    def _networked(self, address: Address) -> bool:
        return any(address in network for network in self._networks if network.version == address.version)

    def _exactly(self, address: Address) -> bool:
        return any(network.num_addresses == 1 and network.network_address == address for network in self._networks)


def refused() -> InvalidValue:
    """The one refusal of the policy: it tells nothing of the address, which the caller may not be supposed to know."""
    return InvalidValue(
        "Calls to this host are not allowed: it is not a public address reached by HTTPS. Use another, or ask the operator to name it in "
        "the setting egress_allow.",
        param=CUSTOM_HOST,
    )


def _scoped(address: Address) -> bool:
    return isinstance(address, IPv6Address) and address.scope_id is not None


def _embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address leads to by translation or tunnel."""
    if isinstance(address, IPv4Address):
        return ()
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if int(address) > 1 and any(address in network for network in _TRANSLATED):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return ()


def _public(address: Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _UNSUITABLE if network.version == address.version)
    )
