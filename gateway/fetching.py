"""Recordings from addresses that clients name: only public ones, and no more bytes or seconds than is allowed."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import httpx

from gateway.errors import GatewayError

SECONDS = 10.0
_PORTS = {"http": 80, "https": 443}


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
    port = url.port or _PORTS[url.scheme]
    number = await _public_address(url.host, port)
    host = f"[{number}]" if number.version == ipaddress.IPv6Address.version else str(number)
    headers = {"host": url.netloc.decode(), "accept-encoding": "identity"}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client,
        client.stream(
            "GET", url.copy_with(host=host), headers=headers, extensions={"sni_hostname": url.host}
        ) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise _refusal(f"was answered with status {answer.status_code}")
        content = bytearray()
        async for piece in answer.aiter_raw():
            content += piece
            if len(content) > max_bytes:
                raise _refusal(f"has more than {max_bytes // 2**20} MiB")
        return bytes(content)


async def _public_address(host: str, port: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    numbers = [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    if not numbers or not all(is_public(number) for number in numbers):
        raise _refusal("is at a private address")
    return numbers[0]


def is_public(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether anybody on the internet means the same machine by it."""
    inner = getattr(number, "ipv4_mapped", None) or getattr(number, "sixtofour", None) or number
    teredo = getattr(number, "teredo", None)
    return all(one.is_global and not one.is_multicast for one in (number, inner, *(teredo or ())))


def _refusal(what: str) -> GatewayError:
    return GatewayError(400, f"The address in ref_audio {what}.", "ref_audio")
