"""Leading new connections to the newer of two servers that share a port (SO_REUSEPORT).

The kernel asks a program which of the listening sockets takes a connection; here it always answers the same number.
"""

from __future__ import annotations

import ctypes
import socket
import struct

_SO_ATTACH_REUSEPORT_CBPF = 51
_RETURN = 0x06  # BPF_RET | BPF_K


def steer(port: int, first: list[tuple[int, str]]) -> None:
    """Have new connections go to the socket that began to listen right after those `first` ones of a port.

    Once there are no more sockets than these were, the kernel chooses again. first: family and address of each. Raises
    OSError where that cannot be had.
    """
    family, host = first[0]
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, len(first)))
    program = struct.pack("HP", 1, ctypes.addressof(instruction))
    with socket.socket(family) as one:  # any of those that listen may say it for all
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # gRPC's takes IPv4, too
        one.bind((host, port))
        one.listen()
        one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)
