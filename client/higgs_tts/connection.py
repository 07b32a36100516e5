"""One gRPC channel to one server: the server's description of itself, and the exchanges in progress."""

import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from tritonclient.grpc import InferResult, service_pb2, service_pb2_grpc

from .audio import ReferenceLimits
from .control import ControlStream
from .errors import HiggsError, InvalidRequestError, ServerUnavailableError, checked_seconds, error_from_grpc
from .exchange import Event, Exchange, Message
from .protocol import ENSEMBLE

UNLIMITED = -1
# Seconds. Watches end with their generations, so this covers the last ones still on their way; the watch of a
# request that was refused before it reached the LM never ends by itself, so we cut it.
CONTROL_PATIENCE = 0.1
READY_TIMEOUT = 2.0  # seconds
RENEW_SECONDS = 1.0  # between two channels

CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", UNLIMITED),
    ("grpc.max_receive_message_length", UNLIMITED),
    # Otherwise the clients of one process share connections, and with them the back-off after a failed attempt.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Triton closes connections that ping more often than every 300 s. The chunk deadline detects a silent server;
    # the ping is for idle connections that a router has dropped.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]
LOOPBACK = ("localhost:", "127.", "[::1]:")

HIGHEST_PORT = 65535
# An IPv6 address is in brackets.
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+(%\w+)?\]|[^\s:/?#@\[\]]+):(?P<port>[0-9]{1,5})")
METADATA_KEY = re.compile(r"[0-9a-z_.-]+")
METADATA_VALUE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True)
class ServerDescription(ReferenceLimits):
    """What the server says of itself. bundle: tells apart bundles that speak differently; "" for an old one."""

    bundle: str


class Link:
    """A channel, and what goes over it alone: a server knows only the streams that came to it."""

    def __init__(self, channel: grpc.Channel, metadata: Callable[[], tuple[tuple[str, str], ...]]) -> None:
        self.made_at = time.monotonic()
        self.channel, self.stub = channel, service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self.control = ControlStream(lambda requests: self.stub.ModelStreamInfer(requests, metadata=metadata()))

    def close(self) -> None:
        """Only for when no generation is under way over it."""
        self.control.close(CONTROL_PATIENCE)
        self.channel.close()


class Connection:
    """Connects when first used. Safe to use from any thread.

    address: HOST:PORT. credentials, metadata, watch, server_name: as for a client. connect_timeout: seconds the server
    may take to describe itself. drain_timeout: seconds a cancelled stream may take to end.
    """

    def __init__(
        self,
        address: str,
        credentials: grpc.ChannelCredentials | None,
        metadata: Mapping[str, str] | None,
        watch: bool,
        connect_timeout: float,
        drain_timeout: float,
        server_name: str | None = None,
    ) -> None:
        parts = ADDRESS.fullmatch(address)
        if parts is None or not 0 < int(parts["port"]) <= HIGHEST_PORT:
            raise ServerUnavailableError(
                f"{address!r} is not HOST:PORT of Triton's gRPC endpoint, such as localhost:8001.", retryable=False
            )
        self.address = address
        self.drain_timeout = checked_seconds("drain_timeout", drain_timeout)
        self.watch = watch
        self._connect_timeout = checked_seconds("connect_timeout", connect_timeout)
        self._given_metadata = {} if metadata is None else metadata
        self._metadata()
        options: list[tuple[str, int | str]] = list(CHANNEL_OPTIONS)
        if address.startswith(LOOPBACK):
            # A proxy from the environment cannot reach this machine's own loopback.
            options.append(("grpc.enable_http_proxy", 0))
        if server_name is not None:
            options += [("grpc.ssl_target_name_override", server_name), ("grpc.default_authority", server_name)]
        if credentials is None:
            self._channel = partial(grpc.insecure_channel, address, options)
        else:
            self._channel = partial(grpc.secure_channel, address, credentials, options)
        self.link = Link(self._channel(), self._metadata)
        self._old_links: list[Link] = []
        self._lock = threading.Lock()
        # Streams in progress; the thread that reads a stream keeps it here.
        self._live: weakref.WeakSet[Exchange] = weakref.WeakSet()
        self.described: ServerDescription | None = None  # by the server, when it was last asked
        self._closed = False

    def describe(self, timeout: float | None = None, *, again: bool = False) -> ServerDescription:
        """The server's sample rate and limits: asked once, then remembered, unless `again`.

        Raises ServerUnavailableError.
        """
        described = self.described
        if described is None or again:
            self._refuse_if_closed()
            seconds = min(
                self._connect_timeout, checked_seconds("timeout", self._connect_timeout if timeout is None else timeout)
            )
            request = service_pb2.ModelConfigRequest(name=ENSEMBLE)
            try:
                config = self._config(request, seconds)
            except grpc.RpcError as error:
                raise error_from_grpc(error, self.address, seconds) from None
            described = self.described = self._read_info(config)
        return described

    def open(
        self,
        request_id: str,
        request: Any | Callable[[], Any],
        deliver: Callable[[Event], None],
        metadata: Mapping[str, str] | None = None,
        messages: Sequence[Message] | None = None,
    ) -> Exchange:
        """Start an exchange for the request, or for what the function returns on its thread; see `Exchange`."""
        with self._lock:
            self._refuse_if_closed()
            exchange = Exchange(self, request_id, request, deliver, metadata, messages)
            self._live.add(exchange)
        return exchange

    def stream(self, link: Link, requests: Iterator[Any], metadata: Mapping[str, str] | None = None) -> Any:
        """The call that sends the requests, with metadata of its own, and iterates over the server's answers."""
        return link.stub.ModelStreamInfer(requests, metadata=self._metadata(metadata))

    def ask(self, request: Any, timeout: float) -> InferResult:
        """The one answer to a `ModelInferRequest`, within so many seconds. Raises HiggsError."""
        self._refuse_if_closed()
        checked_seconds("timeout", timeout)
        try:
            return InferResult(self.link.stub.ModelInfer(request, timeout=timeout, metadata=self._metadata()))
        except grpc.RpcError as error:
            raise error_from_grpc(error, self.address, timeout, request.id) from None

    def is_ready(self) -> bool:
        """Whether the server takes requests now; also True once the client is closed, where nothing is worth a wait.

        One that does not is not asked over the same channel again.
        """
        if self._closed:
            return True
        request = service_pb2.ModelReadyRequest(name=ENSEMBLE)
        try:
            ready = bool(self.link.stub.ModelReady(request, timeout=READY_TIMEOUT, metadata=self._metadata()).ready)
        except (grpc.RpcError, ValueError):  # gRPC's ValueError: the client was closed this very moment
            ready = self._closed
        if not ready:
            self._renew()
        return ready

    @property
    def streams(self) -> int:
        """How many of this client's the server speaks now."""
        with self._lock:
            return sum(not exchange.is_done for exchange in self._live)

    def begin_to_close(self) -> list[Exchange]:
        """Cancel the streams in progress, and take no more."""
        with self._lock:
            self._closed = True
            live = list(self._live)
        for exchange in live:
            exchange.cancel()
        return live

    def close(self) -> None:
        """Cancel the streams in progress, let them drain, and close the channel. Blocks up to the drain timeout."""
        live = self.begin_to_close()
        deadline = time.monotonic() + self.drain_timeout
        for exchange in live:
            if not exchange.wait(max(0.0, deadline - time.monotonic())):
                exchange.abort()
        for link in (*self._old_links, self.link):
            link.close()

    def _renew(self) -> None:
        """Take another channel for what is asked from now on: a server that is being emptied keeps its connections
        open, and behind its address there may be another one already."""
        with self._lock:
            if self._closed or time.monotonic() - self.link.made_at < RENEW_SECONDS:
                return
            busy = {exchange.link for exchange in self._live}
            idle = [link for link in self._old_links if link not in busy]
            self._old_links = [link for link in self._old_links if link in busy] + [self.link]
            self.link = Link(self._channel(), self._metadata)
            self.link.control.open()
        for link in idle:
            link.close()

    def _config(self, request: Any, seconds: float) -> Any:
        """The ensemble's configuration; of the server that has taken over, where this one is being emptied."""
        try:
            return self.link.stub.ModelConfig(request, timeout=seconds, metadata=self._metadata()).config
        except grpc.RpcError as error:
            link = self.link
            if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                self._renew()
            if self.link is link:
                raise
        return self.link.stub.ModelConfig(request, timeout=seconds, metadata=self._metadata()).config

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise HiggsError("The client is closed.", code="client_closed", retryable=False)

    def _metadata(self, more: Mapping[str, str] | None = None) -> tuple[tuple[str, str], ...]:
        """The metadata of a call. Its values may be secrets, so no message repeats them."""
        pairs = tuple((key.lower(), value) for key, value in {**self._given_metadata, **(more or {})}.items())
        for key, value in pairs:
            if not METADATA_KEY.fullmatch(key) or not METADATA_VALUE.fullmatch(value):
                raise InvalidRequestError(
                    f"The metadata {key!r} cannot be sent: give letters, digits, '-', '_' and '.' as its name, "
                    "and printable ASCII as its value."
                )
        return pairs

    def _read_info(self, config: Any) -> ServerDescription:
        values = {key: parameter.string_value for key, parameter in config.parameters.items()}
        try:
            rate = int(values["sample_rate"])
            shortest, longest = float(values["reference_min_seconds"]), float(values["reference_max_seconds"])
        except (KeyError, ValueError) as error:
            raise ServerUnavailableError(
                f"The model {ENSEMBLE!r} at {self.address} is not this bundle's: its config lacks {error}."
            ) from None
        return ServerDescription(rate, shortest, longest, values.get("bundle", ""))
