"""`flink-actions describe`: what a running server serves, and how its workers are."""

from __future__ import annotations

import grpc

from flink_actions.server.address import parse_address
from flink_actions.server.errors import StartError
from flink_actions.server.plan_text import plan_lines
from flink_actions.server.protocol import PROTOCOL_MAX, PROTOCOL_MIN
from flink_actions.wire.v1 import directory_pb2, directory_pb2_grpc

__all__ = ["describe"]


def describe(address: str, timeout_seconds: float) -> int:
    """Print what the server at `address` says and return 0; raise `StartError` if none answers."""
    target = parse_address(address).grpc_target
    with grpc.insecure_channel(target) as channel:
        stub = directory_pb2_grpc.DirectoryStub(channel)  # type: ignore[no-untyped-call]
        try:
            plans = stub.Describe(directory_pb2.DescribeRequest(), timeout=timeout_seconds)
            watch = stub.Watch(
                directory_pb2.WatchRequest(protocol_min=PROTOCOL_MIN, protocol_max=PROTOCOL_MAX),
                timeout=timeout_seconds,
            )
            state = next(iter(watch))
            watch.cancel()
        except grpc.RpcError as error:
            raise StartError(
                f"no action server answers at {target}: {error.details()}. Start one with flink-actions serve, or name "
                "the address that it listens at"
            ) from error
    print(f"server {state.server_version} at {target}, protocol {state.protocol_min} to {state.protocol_max}")
    for plan in plans.plans:
        print("\n".join(plan_lines(plan)))
    for worker in state.workers:
        print(f"worker {_worker_line(worker)}")
    if state.reload_error:
        print(f"the code on disk does not load:\n{state.reload_error}")
    return 0


def _worker_line(worker: directory_pb2.WorkerEntry) -> str:
    parts = [worker.worker, directory_pb2.WorkerEntry.State.Name(worker.state), worker.address]
    if worker.generation:
        parts.append(f"generation {worker.generation.hex()[:8]}")
    if worker.exit_reason:
        parts.append(worker.exit_reason)
    return "  ".join(part for part in parts if part)
