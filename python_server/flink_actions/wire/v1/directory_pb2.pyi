from flink_actions.wire.v1 import plan_pb2 as _plan_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchRequest(_message.Message):
    __slots__ = ("protocol_min", "protocol_max", "namespace", "operator_uid")
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_UID_FIELD_NUMBER: _ClassVar[int]
    protocol_min: int
    protocol_max: int
    namespace: str
    operator_uid: str
    def __init__(self, protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., namespace: _Optional[str] = ..., operator_uid: _Optional[str] = ...) -> None: ...

class DirectoryState(_message.Message):
    __slots__ = ("supervisor_id", "server_version", "protocol_min", "protocol_max", "revision", "generations", "workers", "reload_error")
    SUPERVISOR_ID_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    GENERATIONS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    RELOAD_ERROR_FIELD_NUMBER: _ClassVar[int]
    supervisor_id: bytes
    server_version: str
    protocol_min: int
    protocol_max: int
    revision: int
    generations: _containers.RepeatedCompositeFieldContainer[Generation]
    workers: _containers.RepeatedCompositeFieldContainer[WorkerEntry]
    reload_error: str
    def __init__(self, supervisor_id: _Optional[bytes] = ..., server_version: _Optional[str] = ..., protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., revision: _Optional[int] = ..., generations: _Optional[_Iterable[_Union[Generation, _Mapping]]] = ..., workers: _Optional[_Iterable[_Union[WorkerEntry, _Mapping]]] = ..., reload_error: _Optional[str] = ...) -> None: ...

class Generation(_message.Message):
    __slots__ = ("id", "code_digest", "agents", "is_draining")
    ID_FIELD_NUMBER: _ClassVar[int]
    CODE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    IS_DRAINING_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    code_digest: bytes
    agents: _containers.RepeatedCompositeFieldContainer[AgentDigest]
    is_draining: bool
    def __init__(self, id: _Optional[bytes] = ..., code_digest: _Optional[bytes] = ..., agents: _Optional[_Iterable[_Union[AgentDigest, _Mapping]]] = ..., is_draining: bool = ...) -> None: ...

class AgentDigest(_message.Message):
    __slots__ = ("agent", "plan_digest")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    agent: str
    plan_digest: bytes
    def __init__(self, agent: _Optional[str] = ..., plan_digest: _Optional[bytes] = ...) -> None: ...

class WorkerEntry(_message.Message):
    __slots__ = ("worker", "incarnation", "generation", "address", "state", "role", "suspects", "suspects_known", "exit_reason", "kept")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[WorkerEntry.State]
        STARTING: _ClassVar[WorkerEntry.State]
        SERVING: _ClassVar[WorkerEntry.State]
        DRAINING: _ClassVar[WorkerEntry.State]
        ARCHIVE: _ClassVar[WorkerEntry.State]
        DEAD: _ClassVar[WorkerEntry.State]
    STATE_UNSPECIFIED: WorkerEntry.State
    STARTING: WorkerEntry.State
    SERVING: WorkerEntry.State
    DRAINING: WorkerEntry.State
    ARCHIVE: WorkerEntry.State
    DEAD: WorkerEntry.State
    class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ROLE_UNSPECIFIED: _ClassVar[WorkerEntry.Role]
        REGULAR: _ClassVar[WorkerEntry.Role]
        QUARANTINE: _ClassVar[WorkerEntry.Role]
    ROLE_UNSPECIFIED: WorkerEntry.Role
    REGULAR: WorkerEntry.Role
    QUARANTINE: WorkerEntry.Role
    WORKER_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SUSPECTS_FIELD_NUMBER: _ClassVar[int]
    SUSPECTS_KNOWN_FIELD_NUMBER: _ClassVar[int]
    EXIT_REASON_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    worker: str
    incarnation: bytes
    generation: bytes
    address: str
    state: WorkerEntry.State
    role: WorkerEntry.Role
    suspects: _containers.RepeatedScalarFieldContainer[bytes]
    suspects_known: bool
    exit_reason: str
    kept: _containers.RepeatedCompositeFieldContainer[KeptWork]
    def __init__(self, worker: _Optional[str] = ..., incarnation: _Optional[bytes] = ..., generation: _Optional[bytes] = ..., address: _Optional[str] = ..., state: _Optional[_Union[WorkerEntry.State, str]] = ..., role: _Optional[_Union[WorkerEntry.Role, str]] = ..., suspects: _Optional[_Iterable[bytes]] = ..., suspects_known: bool = ..., exit_reason: _Optional[str] = ..., kept: _Optional[_Iterable[_Union[KeptWork, _Mapping]]] = ...) -> None: ...

class KeptWork(_message.Message):
    __slots__ = ("namespace", "operator_uid")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_UID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    operator_uid: str
    def __init__(self, namespace: _Optional[str] = ..., operator_uid: _Optional[str] = ...) -> None: ...

class QuarantineRequest(_message.Message):
    __slots__ = ("namespace", "operator_uid")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_UID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    operator_uid: str
    def __init__(self, namespace: _Optional[str] = ..., operator_uid: _Optional[str] = ...) -> None: ...

class QuarantineResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("generation", "server_version", "plans")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    generation: bytes
    server_version: str
    plans: _containers.RepeatedCompositeFieldContainer[_plan_pb2.Plan]
    def __init__(self, generation: _Optional[bytes] = ..., server_version: _Optional[str] = ..., plans: _Optional[_Iterable[_Union[_plan_pb2.Plan, _Mapping]]] = ...) -> None: ...
