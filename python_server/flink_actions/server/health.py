"""What the supervisor answers to health checks, in the standard gRPC service.

""              ready: some worker takes sessions, and the workers do not die in a loop
"liveness"      the supervisor itself answers; a restart of the container would help if it did not
"worker/w0"     this worker takes sessions and its event loop moves
"""

from __future__ import annotations

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME
from grpc_health.v1.health import aio as health_aio

__all__ = ["SERVICE_NAME", "Health"]

_STATUS = {
    True: health_pb2.HealthCheckResponse.SERVING,
    False: health_pb2.HealthCheckResponse.NOT_SERVING,
}


class Health:
    """The health service of one gRPC server. Used on its event loop only."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._servicer = health_aio.HealthServicer()
        self._known: dict[str, bool] = {}
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def answer_at(self, server: grpc.aio.Server) -> None:
        """Give the same answers at another server too."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set(self, service: str, is_serving: bool) -> None:
        """Tell whoever checks or watches `service`; saying the same twice costs nothing."""
        if self._known.get(service) is not is_serving:
            self._known[service] = is_serving
            await self._servicer.set(service, _STATUS[is_serving])
