"""gRPC server reflection that costs nothing until somebody asks: its imports would delay every start."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

__all__ = ["add_reflection"]

_SERVICE = "/grpc.reflection.v1alpha.ServerReflection/"


class _ReflectionOnDemand(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, service_names: tuple[str, ...]) -> None:
        self._service_names = service_names
        self._handlers: dict[str, Any] | None = None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if not handler_call_details.method.startswith(_SERVICE):
            return None
        if self._handlers is None:
            self._handlers = self._load()
        return self._handlers.get(handler_call_details.method)

    def _load(self) -> dict[str, Any]:
        from grpc_reflection.v1alpha import _async as aio_reflection
        from grpc_reflection.v1alpha import reflection, reflection_pb2

        servicer = aio_reflection.ReflectionServicer((*self._service_names, reflection.SERVICE_NAME))
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        return {f"{_SERVICE}ServerReflectionInfo": handler}


def add_reflection(server: grpc.aio.Server, *service_names: str) -> None:
    """Let tools such as grpcurl list `service_names` of `server`."""
    server.add_generic_rpc_handlers((_ReflectionOnDemand(service_names),))
