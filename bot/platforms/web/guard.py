"""Who may talk to the page at all: the Host and Origin headers, the client's network, the security headers.

Pure functions of the settings and the headers; `client` puts them around every route.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from aiohttp import web

from bot.platforms.web.errors import Handler, Refusal
from bot.platforms.web.settings import WebSettings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  compared with, never bound here
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
}
Address = IPv4Address | IPv6Address


def parse_address(text: str) -> Address | None:
    """An IP address; one that is IPv4 in IPv6's clothes is IPv4."""
    try:
        address = ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def host_name(authority: str) -> str:
    """The name in `name:port`, without brackets; empty if it is not one."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


HOOKS = "/hooks/"
"""Where other servers call us: each handler there verifies its caller before it reads anything."""


def host_allowed(authority: str, settings: WebSettings) -> bool:
    """Whether a Host header names us. A name that a stranger's DNS points here does not.

    A bare address cannot be rebound, so where every interface is served any address will do.
    """
    name = host_name(authority)
    if settings.host in WILDCARDS and parse_address(name):
        return True
    names = {settings.host, host_name(urlsplit(settings.public_url).netloc), *settings.hosts}
    return bool(name) and name in LOOPBACK_NAMES | {known.lower().strip("[]") for known in names}


def origin_allowed(request: web.Request, settings: WebSettings) -> bool:
    """Whether the page that sent this is ours: by its Origin, else by what the browser says of the site."""
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site") == "same-origin"
    parts = urlsplit(origin)
    public = urlsplit(settings.public_url)
    if public.netloc and (parts.scheme, parts.netloc) == (public.scheme, public.netloc):
        return True
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and parts.netloc == request.host


def within(address: Address, networks: tuple[str, ...]) -> bool:
    return any(address in ip_network(network, strict=False) for network in networks)


def client_address(request: web.Request, settings: WebSettings) -> Address | None:
    """The nearest address that is not a trusted proxy's; None where there is no peer."""
    peer = parse_address(request.remote or "")
    if peer is None or not within(peer, settings.trusted_proxies):
        return peer
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    for hop in reversed(hops):
        address = parse_address(hop)
        if address is None:
            return peer
        peer = address
        if not within(address, settings.trusted_proxies):
            break
    return peer


def client_network(request: web.Request, settings: WebSettings) -> str:
    """What identifies a household: an IPv4 address, the first half of an IPv6 one."""
    address = client_address(request, settings)
    if address is None:
        return ""
    prefix = 32 if address.version == 4 else 64
    return str(ip_network(f"{address}/{prefix}", strict=False))


def may_read_metrics(request: web.Request, settings: WebSettings) -> bool:
    """Networks of `metrics_from`, and never through a proxy that we do not know."""
    peer = parse_address(request.remote or "")
    if peer is None or ("X-Forwarded-For" in request.headers and not within(peer, settings.trusted_proxies)):
        return False
    address = client_address(request, settings)
    return address is not None and within(address, settings.metrics_from)


def check(request: web.Request, settings: WebSettings) -> None:
    """Raises `Refusal` for a request that no page of ours can have sent. Hooks are called by servers and prove it."""
    if request.path.startswith(HOOKS):
        return
    if request.path != "/healthz" and not host_allowed(request.headers.get("Host", ""), settings):
        raise Refusal(421, "web-error-host")
    if request.method not in {"GET", "HEAD"} and not origin_allowed(request, settings):
        raise Refusal(403, "web-error-origin")
    if request.path.startswith("/api/") and request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise Refusal(403, "web-error-origin")


def guarding(settings: WebSettings):
    """The middleware that checks each request."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        check(request, settings)
        return await handler(request)

    return guard


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.pop("Server", None)
