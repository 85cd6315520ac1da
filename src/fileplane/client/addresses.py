"""Where requests go: the server's address, the environment's proxies, and which certificates are believed."""

from __future__ import annotations

import base64
import os
import platform
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from fileplane.client.errors import NotConfigured

DEFAULT_BASE_URL: Final = "http://127.0.0.1:8787/v1"
_PORTS: Final = {"http": 80, "https": 443}
_BUNDLES: Final = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)


@dataclass(frozen=True, slots=True)
class Address:
    """A server as ``base_url`` names it: ``path`` is what every path begins with, and ends with no slash."""

    base_url: str
    tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as the header Host has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, spoken to without TLS of its own; ``headers`` has the credentials that its URL holds."""

    host: str
    port: int
    headers: Mapping[str, str]


def address_of(base_url: str) -> Address:
    """Raises :class:`~fileplane.client.errors.NotConfigured` for what is no URL of a server."""
    try:
        url = urlsplit(base_url)
        host, port = url.hostname, url.port
        if host is not None:
            host = host.encode("idna" if not host.isascii() else "ascii").decode("ascii")
    except ValueError as error:
        raise NotConfigured(f"base_url is no URL: {error}.") from error
    if url.scheme not in _PORTS or not host or "@" in url.netloc or url.query or url.fragment or not _is_plain(base_url):
        raise NotConfigured("base_url must be such as https://files.example.com/v1: no user, query or fragment in it.")
    path = quote(url.path.rstrip("/"), safe="/%:@!$&'()*+,;=~-._")
    return Address(base_url.rstrip("/"), url.scheme == "https", host, port or _PORTS[url.scheme], path)


def _is_plain(text: str) -> bool:
    """Whether it has nothing that :func:`urlsplit` drops without a word, or that would end a request line."""
    return all(character.isprintable() and character != " " for character in text)


def proxy_for(address: Address) -> Proxy | None:
    """As the environment says (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY). Raises NotConfigured for one that cannot be used."""
    proxies = getproxies()
    text = proxies.get("https" if address.tls else "http") or proxies.get("all")
    if not text or proxy_bypass(f"{address.host}:{address.port}"):
        return None
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    if not host or url.scheme != "http":
        raise NotConfigured("The proxy that the environment names cannot be used: it must be such as http://proxy.example.com:3128.")
    headers = {}
    if url.username is not None:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    return Proxy(host, port or _PORTS["http"], headers)


class Dialler:
    """Makes connections to one address. Certificate authorities are read once, and only if there is TLS."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._proxy = proxy_for(address)
        self._context = verification() if address.tls else None

    @property
    def headers(self) -> Mapping[str, str]:
        """What each request needs besides its own: a proxy's credentials, where it reads the request itself."""
        return self._proxy.headers if self._proxy is not None and not self.address.tls else {}

    def target(self, path: str) -> str:
        """What stands in the request line for a path below the base URL."""
        whole = self.address.path + path
        return f"http://{self.address.authority}{whole}" if self._proxy is not None and not self.address.tls else whole

    def connection(self, seconds: float) -> HTTPConnection:
        """One that is not connected yet, with a deadline for each of its steps."""
        address, proxy = self.address, self._proxy
        host, port = (address.host, address.port) if proxy is None else (proxy.host, proxy.port)
        if self._context is None:
            return HTTPConnection(host, port, timeout=seconds)
        connection = HTTPSConnection(host, port, timeout=seconds, context=self._context)
        if proxy is not None:
            connection.set_tunnel(address.host, address.port, headers=dict(proxy.headers))
        return connection


def verification() -> ssl.SSLContext:
    """The system's authorities, or those of SSL_CERT_FILE or SSL_CERT_DIR; an empty variable is as good as none."""
    if file := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    if directory := os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=directory)
    if platform.system() == "Darwin":  # OpenSSL does not know the keychain there
        import truststore  # noqa: PLC0415 - loaded where it is needed

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    paths = ssl.get_default_verify_paths()
    files = [path for path in (paths.openssl_cafile, *_BUNDLES) if Path(path).is_file()]
    directory = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    if files or directory:
        context.load_verify_locations(files[0] if files else None, directory)
    return context
