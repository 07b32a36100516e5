"""One gRPC channel to one server: what the server says about itself, and the exchanges under way."""

import re
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from tritonclient.grpc import InferResult, service_pb2, service_pb2_grpc

from .audio import ReferenceLimits
from .control import ControlStream
from .errors import HiggsError, ServerUnavailableError, error_from_server
from .exchange import Event, Exchange
from .protocol import ENSEMBLE

UNLIMITED = -1
# Seconds. Watches end with their generations, so this covers the last ones on their way; the watch of a
# request that was refused before it reached the LM has no such end, and is cut.
CONTROL_PATIENCE = 0.1

CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", UNLIMITED),
    ("grpc.max_receive_message_length", UNLIMITED),
    # Else the clients of one process share connections, and with them the wait after a failed attempt.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Triton closes connections that ping more often than every 300 s. A silent server is found by the chunk
    # deadline; the ping is for idle connections that a router has forgotten.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]
LOOPBACK = ("localhost:", "127.", "[::1]:")


HIGHEST_PORT = 65535
# An address of IPv6 stands in brackets.
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+(%\w+)?\]|[^\s:/?#@\[\]]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class ServerInfo:
    """What the ensemble's configuration announces."""

    sample_rate: int  # Hz
    reference: ReferenceLimits


class Connection:
    """Connects when first used. Safe to use from any thread.

    address: HOST:PORT of Triton's gRPC endpoint. connect_timeout: seconds the server may take to describe
    itself. drain_timeout: seconds a cancelled stream may take to end. watch: ask the LM to notice when this
    process dies. credentials: None for an unencrypted channel.
    """

    def __init__(
        self,
        address: str,
        *,
        connect_timeout: float,
        drain_timeout: float,
        watch: bool,
        credentials: grpc.ChannelCredentials | None,
    ) -> None:
        parts = ADDRESS.fullmatch(address)
        if parts is None or not 0 < int(parts["port"]) <= HIGHEST_PORT:
            raise ServerUnavailableError(
                f"{address!r} is not HOST:PORT of Triton's gRPC endpoint, such as localhost:8001."
            )
        self.address = address
        self._connect_timeout = connect_timeout
        self._drain_timeout = drain_timeout
        self._watch = watch
        options = list(CHANNEL_OPTIONS)
        if address.startswith(LOOPBACK):
            # A proxy from the environment cannot reach this machine's own loopback.
            options.append(("grpc.enable_http_proxy", 0))
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._control = ControlStream(self._stub)
        self._lock = threading.Lock()
        # Streams under way: the thread that reads one keeps it in here.
        self._live: weakref.WeakSet[Exchange] = weakref.WeakSet()
        self._info: ServerInfo | None = None
        self._closed = False

    def describe(self) -> ServerInfo:
        """Asked once, then remembered. Raises ServerUnavailableError."""
        if self._info is None:
            self._info = self._ask_for_info()
        return self._info

    def open(self, request: Any, deliver: Callable[[Event], None]) -> Exchange:
        """Send `request`. Its events go to `deliver` on another thread."""
        sample_rate = self.describe().sample_rate
        with self._lock:
            if self._closed:
                raise HiggsError("The client is closed.")
            exchange = Exchange(
                self._stub,
                self._control,
                request,
                deliver,
                sample_rate=sample_rate,
                address=self.address,
                drain_timeout=self._drain_timeout,
                watch=self._watch,
            )
            self._live.add(exchange)
        return exchange

    def ask(self, request: Any, timeout: float) -> InferResult:
        """The one answer to a `ModelInferRequest`, within so many seconds. Raises HiggsError."""
        if self._closed:
            raise HiggsError("The client is closed.")
        try:
            return InferResult(self._stub.ModelInfer(request, timeout=timeout))
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise self._unavailable(error) from None
            raise error_from_server(error.details(), self.address) from None

    def close(self) -> None:
        """Cancel what is under way, let it drain, and close the channel. Blocks up to the drain timeout."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            live = list(self._live)
        for exchange in live:
            exchange.cancel()
        deadline = time.monotonic() + self._drain_timeout
        for exchange in live:
            if not exchange.wait(max(0.0, deadline - time.monotonic())):
                exchange.abort()
        self._control.close(CONTROL_PATIENCE)
        self._channel.close()

    def _ask_for_info(self) -> ServerInfo:
        request = service_pb2.ModelConfigRequest(name=ENSEMBLE)
        try:
            config = self._stub.ModelConfig(request, timeout=self._connect_timeout).config
        except grpc.RpcError as error:
            raise self._unavailable(error) from None
        values = {key: parameter.string_value for key, parameter in config.parameters.items()}
        try:
            rate = int(values["sample_rate"])
            shortest, longest = float(values["reference_min_seconds"]), float(values["reference_max_seconds"])
        except (KeyError, ValueError) as error:
            raise ServerUnavailableError(
                f"The model {ENSEMBLE!r} at {self.address} is of another kind: its config lacks {error}."
            ) from None
        return ServerInfo(rate, ReferenceLimits(rate, shortest, longest))

    def _unavailable(self, error: Any) -> ServerUnavailableError:
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            return ServerUnavailableError(
                f"No server answers at {self.address}: start one with `make serve`, or give another address."
            )
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return ServerUnavailableError(
                f"The server at {self.address} did not answer within {self._connect_timeout:g} s."
            )
        return ServerUnavailableError(f"The server at {self.address} does not serve {ENSEMBLE!r}: {error.details()}.")
