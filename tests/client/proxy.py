"""A gRPC proxy on loopback that passes every call on to a server, if it brings the token that the proxy may ask for."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

TOKEN = ("authorization", "Bearer s3cret")
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


class TokenProxy(grpc.GenericRpcHandler):
    """Serves at `url` until `stop()`; `seen` are the methods of the calls that were passed on, with their metadata."""

    def __init__(
        self,
        target: str,
        credentials: grpc.ServerCredentials | None = None,
        token: tuple[str, str] | None = TOKEN,
        host: str = "127.0.0.1",
    ) -> None:
        self.seen: dict[str, dict[str, str]] = {}
        self._token = token
        self._channel = grpc.insecure_channel(target)
        self._server = grpc.server(ThreadPoolExecutor(16), handlers=[self])
        if credentials is None:
            port = self._server.add_insecure_port(f"{host}:0")
        else:
            port = self._server.add_secure_port(f"{host}:0", credentials)
        self.url = f"localhost:{port}"
        self._server.start()

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        metadata = dict(tuple(pair) for pair in handler_call_details.invocation_metadata)
        if self._token and metadata.get(self._token[0]) != self._token[1]:
            return grpc.stream_stream_rpc_method_handler(_refuse)
        self.seen[method.rpartition("/")[2]] = self.seen.get(method.rpartition("/")[2], {}) | metadata
        if method == STREAM:
            streamed = self._channel.stream_stream(method)
            return grpc.stream_stream_rpc_method_handler(lambda requests, context: streamed(requests))
        asked = self._channel.unary_unary(method)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: asked(request))

    def stop(self) -> None:
        self._server.stop(0).wait()
        self._channel.close()


def _refuse(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid token")
    yield b""
