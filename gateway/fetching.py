"""Recordings from addresses that clients name: only public ones, and no more bytes or seconds than is allowed."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

from gateway.errors import GatewayError

SECONDS = 10.0
_PORTS = {"http": 80, "https": 443}
_UNICAST = IPv6Network("2000::/3")  # all that is handed out; the rest is for one machine, one network or nobody
_TRANSLATED = IPv6Network("64:ff9b::/96")  # an IPv4 address for those who have only IPv6
# Public by their numbers, but clouds have services for their machines there, and 6to4 its relays.
_NOT_PUBLIC = [IPv4Network(name) for name in ("192.0.0.0/24", "168.63.129.16/32", "192.88.99.0/24")]
# A name server that does not answer holds a thread, which others need.
_RESOLVERS = ThreadPoolExecutor(4, "resolver")


async def fetch(address: str, max_bytes: int) -> bytes:
    """The bytes at an http(s) address. Raises GatewayError when it is no public one, or they do not come.

    The name is looked up once and that address is connected to, so that it cannot be another one by then. Redirects
    are not followed.
    """
    try:
        async with asyncio.timeout(SECONDS):
            return await _fetch(httpx.URL(address), max_bytes)
    except TimeoutError:
        raise _refusal(f"did not come within {SECONDS:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, ValueError):
        raise _refusal("cannot be fetched") from None


async def _fetch(url: httpx.URL, max_bytes: int) -> bytes:
    name = url.raw_host.decode("ascii")
    number = await _public_address(name, url.port or _PORTS[url.scheme])
    host = f"[{number}]" if isinstance(number, IPv6Address) else str(number)
    headers = {"host": url.netloc.decode("ascii"), "accept-encoding": "identity"}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client,
        client.stream("GET", url.copy_with(host=host), headers=headers, extensions={"sni_hostname": name}) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise _refusal(f"was answered with status {answer.status_code}")
        content = bytearray()
        async for piece in answer.aiter_raw():
            content += piece
            if len(content) > max_bytes:
                raise _refusal(f"has more than {max_bytes // 2**20} MiB", 413)
        return bytes(content)


async def _public_address(host: str, port: int) -> IPv4Address | IPv6Address:
    ask = partial(socket.getaddrinfo, host.strip("[]"), port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, ask)
    numbers = [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    if not numbers or not all(is_public(number) for number in numbers):
        raise _refusal("is at a private address")
    return numbers[0]


def is_public(number: IPv4Address | IPv6Address) -> bool:
    """Whether anybody on the internet means the same machine by it."""
    if isinstance(number, IPv4Address):
        return number.is_global and not number.is_multicast and not any(number in one for one in _NOT_PUBLIC)
    if number in _TRANSLATED:
        return is_public(IPv4Address(number.packed[-4:]))
    if number.sixtofour is not None:
        return is_public(number.sixtofour)
    return number in _UNICAST and number.is_global


def _refusal(what: str, status: int = 400) -> GatewayError:
    return GatewayError(status, f"The address in ref_audio {what}.", "ref_audio")
