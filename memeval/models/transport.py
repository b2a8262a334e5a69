"""Connection settings from the environment: proxies, certificates, headers."""

from __future__ import annotations

import functools
import json
import os
import re
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from memeval.errors import UsageError
from memeval.models.keys import OPENAI_URL, openai_url

HEADERS = "MEMEVAL_HEADERS"
AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_OPENAI_HEADERS = {
    "OpenAI-Organization": ("OPENAI_ORG_ID", "OPENAI_ORGANIZATION"),
    "OpenAI-Project": ("OPENAI_PROJECT_ID", "OPENAI_PROJECT"),
}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's URL, and `named`: its name in messages, without user name and password, with the name of its variable."""

    url: str
    named: str


def proxy_for(base_url: str) -> Proxy | None:
    """The proxy of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY for a URL; never one for this machine. Raises
    UsageError that names the variable if the value is not an HTTP proxy."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if _is_here(host) or proxy_bypass(host):
        return None
    found = getproxies()
    kind = next((kind for kind in (parts.scheme, "all") if found.get(kind)), None)
    if kind is None:
        return None
    names = (f"{kind}_proxy", f"{kind}_proxy".upper())
    variable = next((name for name in names if os.environ.get(name)), "the system's settings")
    text = found[kind].strip()
    url = text if "://" in text else f"http://{text}"
    shown = re.sub(r"//[^/@]*@", "//...@", url)
    try:
        proxy = urlsplit(url)
        usable = proxy.scheme in ("http", "https") and bool(proxy.hostname) and proxy.port != 0
    except ValueError:
        usable = False
    if not usable:
        remedy = f"set it to http://HOST:PORT, or NO_PROXY={host} to go without"
        raise UsageError(f"{variable}: '{shown}' is not a usable HTTP proxy for {base_url}; {remedy}")
    return Proxy(url, f"the proxy {shown} ({variable}; NO_PROXY={host} goes without)")


def authorities(base_url: str, proxy: Proxy | None = None) -> ssl.SSLContext | bool:
    """The trusted certificates: the system's, and those in SSL_CERT_FILE, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE. True,
    which loads none, if neither the URL nor the proxy uses TLS. Raises UsageError that names the variable if such a
    file cannot be read."""
    if not any(url.startswith("https:") for url in (base_url, proxy.url if proxy else "")):
        return True
    return _authorities(tuple(os.environ.get(variable, "").strip() for variable in AUTHORITIES))


@functools.cache  # loading certificates takes as long as a small run
def _authorities(names: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for variable, name in zip(AUTHORITIES, names, strict=True):
        if not name:
            continue
        path = Path(name).expanduser()
        try:
            folder = path.is_dir()
            context.load_verify_locations(cafile=None if folder else str(path), capath=str(path) if folder else None)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{variable}: {path}: no certificates can be read from it ({error})") from None
    return context


UNTRUSTED = "if it is right, set SSL_CERT_FILE to the file (PEM) of the authority that signed it, else check the URL"
"""The remedy for an untrusted certificate."""


def headers(base_url: str) -> dict[str, str]:
    """Additional headers for an endpoint: OpenAI's organisation and project for OpenAI, and those of MEMEVAL_HEADERS, a
    JSON object, for every other server. They may be secret, so they are read only from the environment. Raises
    UsageError without showing a value."""
    if base_url in (OPENAI_URL, openai_url()):
        values = {name: next(filter(None, map(os.environ.get, named)), "") for name, named in _OPENAI_HEADERS.items()}
        found = {name: value for name, value in values.items() if value}
    else:
        found = {}
    if base_url != OPENAI_URL:
        found |= own_headers()
    for name, value in found.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(r"[\x20-\x7e]*", value):
            raise UsageError(f"header '{name[:40]}': a name or value that no HTTP header can have")
    return found


def own_headers() -> dict[str, str]:
    """The headers in MEMEVAL_HEADERS. Raises UsageError."""
    text = os.environ.get(HEADERS, "").strip()
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise UsageError(f"""{HEADERS}: expected a JSON object of strings, such as {{"X-Team": "memory"}}""")
    return found


def _is_here(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified
