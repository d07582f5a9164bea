from flink_actions.wire.v1 import plan_pb2 as _plan_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ContentType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JSON: _ClassVar[ContentType]
    BYTES: _ClassVar[ContentType]
    PICKLE: _ClassVar[ContentType]
    PROTOBUF: _ClassVar[ContentType]

class MemoryForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AS_YOU_HAVE_IT: _ClassVar[MemoryForm]
    FULL: _ClassVar[MemoryForm]
    DELTA: _ClassVar[MemoryForm]
JSON: ContentType
BYTES: ContentType
PICKLE: ContentType
PROTOBUF: ContentType
AS_YOU_HAVE_IT: MemoryForm
FULL: MemoryForm
DELTA: MemoryForm

class OperatorFrame(_message.Message):
    __slots__ = ("sequence", "hello", "invokes", "calls_recorded", "cancels", "checkpoint_completed", "ping", "pong", "bye", "forget_keys", "call_records", "received", "all_resumed")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    INVOKES_FIELD_NUMBER: _ClassVar[int]
    CALLS_RECORDED_FIELD_NUMBER: _ClassVar[int]
    CANCELS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    FORGET_KEYS_FIELD_NUMBER: _ClassVar[int]
    CALL_RECORDS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    ALL_RESUMED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    hello: Hello
    invokes: _containers.RepeatedCompositeFieldContainer[Invoke]
    calls_recorded: _containers.RepeatedCompositeFieldContainer[CallsRecorded]
    cancels: _containers.RepeatedCompositeFieldContainer[Cancel]
    checkpoint_completed: CheckpointCompleted
    ping: Ping
    pong: Pong
    bye: Bye
    forget_keys: _containers.RepeatedScalarFieldContainer[bytes]
    call_records: _containers.RepeatedCompositeFieldContainer[CallRecord]
    received: int
    all_resumed: bool
    def __init__(self, sequence: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., invokes: _Optional[_Iterable[_Union[Invoke, _Mapping]]] = ..., calls_recorded: _Optional[_Iterable[_Union[CallsRecorded, _Mapping]]] = ..., cancels: _Optional[_Iterable[_Union[Cancel, _Mapping]]] = ..., checkpoint_completed: _Optional[_Union[CheckpointCompleted, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., bye: _Optional[_Union[Bye, _Mapping]] = ..., forget_keys: _Optional[_Iterable[bytes]] = ..., call_records: _Optional[_Iterable[_Union[CallRecord, _Mapping]]] = ..., received: _Optional[int] = ..., all_resumed: bool = ...) -> None: ...

class WorkerFrame(_message.Message):
    __slots__ = ("sequence", "ack", "welcome", "reject", "results", "failures", "bounces", "need_memory", "calls_started", "calls_completed", "progress", "metrics", "credit", "ping", "pong", "drain", "bye", "holdings")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    REJECT_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    BOUNCES_FIELD_NUMBER: _ClassVar[int]
    NEED_MEMORY_FIELD_NUMBER: _ClassVar[int]
    CALLS_STARTED_FIELD_NUMBER: _ClassVar[int]
    CALLS_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    HOLDINGS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    ack: int
    welcome: Welcome
    reject: Reject
    results: Results
    failures: _containers.RepeatedCompositeFieldContainer[Failure]
    bounces: _containers.RepeatedCompositeFieldContainer[Bounce]
    need_memory: _containers.RepeatedScalarFieldContainer[int]
    calls_started: _containers.RepeatedCompositeFieldContainer[CallStarted]
    calls_completed: _containers.RepeatedCompositeFieldContainer[CallRecord]
    progress: _containers.RepeatedCompositeFieldContainer[Progress]
    metrics: _containers.RepeatedCompositeFieldContainer[MetricDelta]
    credit: Credit
    ping: Ping
    pong: Pong
    drain: Drain
    bye: Bye
    holdings: Holdings
    def __init__(self, sequence: _Optional[int] = ..., ack: _Optional[int] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., reject: _Optional[_Union[Reject, _Mapping]] = ..., results: _Optional[_Union[Results, _Mapping]] = ..., failures: _Optional[_Iterable[_Union[Failure, _Mapping]]] = ..., bounces: _Optional[_Iterable[_Union[Bounce, _Mapping]]] = ..., need_memory: _Optional[_Iterable[int]] = ..., calls_started: _Optional[_Iterable[_Union[CallStarted, _Mapping]]] = ..., calls_completed: _Optional[_Iterable[_Union[CallRecord, _Mapping]]] = ..., progress: _Optional[_Iterable[_Union[Progress, _Mapping]]] = ..., metrics: _Optional[_Iterable[_Union[MetricDelta, _Mapping]]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., bye: _Optional[_Union[Bye, _Mapping]] = ..., holdings: _Optional[_Union[Holdings, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol_min", "protocol_max", "namespace", "job_id", "job_name", "operator_uid", "agent", "subtask", "parallelism", "max_parallelism", "key_group_first", "key_group_last", "start_id", "epoch", "was_welcomed", "known_plan_digest", "pinned_plan_digest", "capabilities", "accepted_content_types", "max_frame_bytes", "config", "has_checkpoints", "operator_version", "asks_for_holdings")
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_NAME_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_UID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    SUBTASK_FIELD_NUMBER: _ClassVar[int]
    PARALLELISM_FIELD_NUMBER: _ClassVar[int]
    MAX_PARALLELISM_FIELD_NUMBER: _ClassVar[int]
    KEY_GROUP_FIRST_FIELD_NUMBER: _ClassVar[int]
    KEY_GROUP_LAST_FIELD_NUMBER: _ClassVar[int]
    START_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    WAS_WELCOMED_FIELD_NUMBER: _ClassVar[int]
    KNOWN_PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PINNED_PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_CONTENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    HAS_CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_VERSION_FIELD_NUMBER: _ClassVar[int]
    ASKS_FOR_HOLDINGS_FIELD_NUMBER: _ClassVar[int]
    protocol_min: int
    protocol_max: int
    namespace: str
    job_id: str
    job_name: str
    operator_uid: str
    agent: str
    subtask: int
    parallelism: int
    max_parallelism: int
    key_group_first: int
    key_group_last: int
    start_id: bytes
    epoch: int
    was_welcomed: bool
    known_plan_digest: bytes
    pinned_plan_digest: bytes
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    accepted_content_types: _containers.RepeatedScalarFieldContainer[ContentType]
    max_frame_bytes: int
    config: bytes
    has_checkpoints: bool
    operator_version: str
    asks_for_holdings: bool
    def __init__(self, protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., namespace: _Optional[str] = ..., job_id: _Optional[str] = ..., job_name: _Optional[str] = ..., operator_uid: _Optional[str] = ..., agent: _Optional[str] = ..., subtask: _Optional[int] = ..., parallelism: _Optional[int] = ..., max_parallelism: _Optional[int] = ..., key_group_first: _Optional[int] = ..., key_group_last: _Optional[int] = ..., start_id: _Optional[bytes] = ..., epoch: _Optional[int] = ..., was_welcomed: bool = ..., known_plan_digest: _Optional[bytes] = ..., pinned_plan_digest: _Optional[bytes] = ..., capabilities: _Optional[_Iterable[str]] = ..., accepted_content_types: _Optional[_Iterable[_Union[ContentType, str]]] = ..., max_frame_bytes: _Optional[int] = ..., config: _Optional[bytes] = ..., has_checkpoints: bool = ..., operator_version: _Optional[str] = ..., asks_for_holdings: bool = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol", "worker", "incarnation", "generation", "plan", "plan_digest", "max_frame_bytes", "frame_window", "credit", "linger_ms", "capabilities", "server_version", "tells_holdings")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    FRAME_WINDOW_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    LINGER_MS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    TELLS_HOLDINGS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    worker: str
    incarnation: bytes
    generation: bytes
    plan: _plan_pb2.Plan
    plan_digest: bytes
    max_frame_bytes: int
    frame_window: int
    credit: Credit
    linger_ms: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    server_version: str
    tells_holdings: bool
    def __init__(self, protocol: _Optional[int] = ..., worker: _Optional[str] = ..., incarnation: _Optional[bytes] = ..., generation: _Optional[bytes] = ..., plan: _Optional[_Union[_plan_pb2.Plan, _Mapping]] = ..., plan_digest: _Optional[bytes] = ..., max_frame_bytes: _Optional[int] = ..., frame_window: _Optional[int] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., linger_ms: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., server_version: _Optional[str] = ..., tells_holdings: bool = ...) -> None: ...

class Reject(_message.Message):
    __slots__ = ("reason", "message", "known_epoch")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Reject.Reason]
        PROTOCOL_VERSION: _ClassVar[Reject.Reason]
        UNKNOWN_AGENT: _ClassVar[Reject.Reason]
        STALE_EPOCH: _ClassVar[Reject.Reason]
        NAMESPACE_IN_USE: _ClassVar[Reject.Reason]
        PLAN_MISMATCH: _ClassVar[Reject.Reason]
        CONTENT_TYPE: _ClassVar[Reject.Reason]
        UNAUTHENTICATED: _ClassVar[Reject.Reason]
        DRAINING: _ClassVar[Reject.Reason]
        OVERLOADED: _ClassVar[Reject.Reason]
        MALFORMED: _ClassVar[Reject.Reason]
    REASON_UNSPECIFIED: Reject.Reason
    PROTOCOL_VERSION: Reject.Reason
    UNKNOWN_AGENT: Reject.Reason
    STALE_EPOCH: Reject.Reason
    NAMESPACE_IN_USE: Reject.Reason
    PLAN_MISMATCH: Reject.Reason
    CONTENT_TYPE: Reject.Reason
    UNAUTHENTICATED: Reject.Reason
    DRAINING: Reject.Reason
    OVERLOADED: Reject.Reason
    MALFORMED: Reject.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_EPOCH_FIELD_NUMBER: _ClassVar[int]
    reason: Reject.Reason
    message: str
    known_epoch: int
    def __init__(self, reason: _Optional[_Union[Reject.Reason, str]] = ..., message: _Optional[str] = ..., known_epoch: _Optional[int] = ...) -> None: ...

class Invoke(_message.Message):
    __slots__ = ("handle", "invocation_id", "key", "run_number", "action", "attempt", "failures", "event_type", "payload", "content_type", "event_source", "event_position", "timestamp", "watermark", "upstream_action", "upstream_event_id", "remaining_ms", "memory_version", "memory_form", "sensory_count", "memory_path", "memory_value", "memory_from", "clear_sensory", "calls", "more_calls", "traceparent", "run_generation", "key_content_type")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    RUN_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_POSITION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_ACTION_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_VERSION_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FORM_FIELD_NUMBER: _ClassVar[int]
    SENSORY_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PATH_FIELD_NUMBER: _ClassVar[int]
    MEMORY_VALUE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FROM_FIELD_NUMBER: _ClassVar[int]
    CLEAR_SENSORY_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    MORE_CALLS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    RUN_GENERATION_FIELD_NUMBER: _ClassVar[int]
    KEY_CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    handle: int
    invocation_id: bytes
    key: bytes
    run_number: int
    action: int
    attempt: int
    failures: int
    event_type: str
    payload: bytes
    content_type: ContentType
    event_source: bytes
    event_position: int
    timestamp: int
    watermark: int
    upstream_action: str
    upstream_event_id: bytes
    remaining_ms: int
    memory_version: bytes
    memory_form: MemoryForm
    sensory_count: int
    memory_path: _containers.RepeatedScalarFieldContainer[str]
    memory_value: _containers.RepeatedScalarFieldContainer[bytes]
    memory_from: bytes
    clear_sensory: bool
    calls: _containers.RepeatedCompositeFieldContainer[CallRecord]
    more_calls: bool
    traceparent: str
    run_generation: bytes
    key_content_type: ContentType
    def __init__(self, handle: _Optional[int] = ..., invocation_id: _Optional[bytes] = ..., key: _Optional[bytes] = ..., run_number: _Optional[int] = ..., action: _Optional[int] = ..., attempt: _Optional[int] = ..., failures: _Optional[int] = ..., event_type: _Optional[str] = ..., payload: _Optional[bytes] = ..., content_type: _Optional[_Union[ContentType, str]] = ..., event_source: _Optional[bytes] = ..., event_position: _Optional[int] = ..., timestamp: _Optional[int] = ..., watermark: _Optional[int] = ..., upstream_action: _Optional[str] = ..., upstream_event_id: _Optional[bytes] = ..., remaining_ms: _Optional[int] = ..., memory_version: _Optional[bytes] = ..., memory_form: _Optional[_Union[MemoryForm, str]] = ..., sensory_count: _Optional[int] = ..., memory_path: _Optional[_Iterable[str]] = ..., memory_value: _Optional[_Iterable[bytes]] = ..., memory_from: _Optional[bytes] = ..., clear_sensory: bool = ..., calls: _Optional[_Iterable[_Union[CallRecord, _Mapping]]] = ..., more_calls: bool = ..., traceparent: _Optional[str] = ..., run_generation: _Optional[bytes] = ..., key_content_type: _Optional[_Union[ContentType, str]] = ...) -> None: ...

class Results(_message.Message):
    __slots__ = ("handle", "event_count", "sensory_count", "short_term_count", "memory_base", "memory_version", "event_type", "event_payload", "event_content_type", "memory_path", "memory_value", "handed_back", "ran_ms")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SENSORY_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHORT_TERM_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BASE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_VERSION_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    EVENT_CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PATH_FIELD_NUMBER: _ClassVar[int]
    MEMORY_VALUE_FIELD_NUMBER: _ClassVar[int]
    HANDED_BACK_FIELD_NUMBER: _ClassVar[int]
    RAN_MS_FIELD_NUMBER: _ClassVar[int]
    handle: _containers.RepeatedScalarFieldContainer[int]
    event_count: _containers.RepeatedScalarFieldContainer[int]
    sensory_count: _containers.RepeatedScalarFieldContainer[int]
    short_term_count: _containers.RepeatedScalarFieldContainer[int]
    memory_base: _containers.RepeatedScalarFieldContainer[bytes]
    memory_version: _containers.RepeatedScalarFieldContainer[bytes]
    event_type: _containers.RepeatedScalarFieldContainer[str]
    event_payload: _containers.RepeatedScalarFieldContainer[bytes]
    event_content_type: _containers.RepeatedScalarFieldContainer[ContentType]
    memory_path: _containers.RepeatedScalarFieldContainer[str]
    memory_value: _containers.RepeatedScalarFieldContainer[bytes]
    handed_back: _containers.RepeatedScalarFieldContainer[int]
    ran_ms: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, handle: _Optional[_Iterable[int]] = ..., event_count: _Optional[_Iterable[int]] = ..., sensory_count: _Optional[_Iterable[int]] = ..., short_term_count: _Optional[_Iterable[int]] = ..., memory_base: _Optional[_Iterable[bytes]] = ..., memory_version: _Optional[_Iterable[bytes]] = ..., event_type: _Optional[_Iterable[str]] = ..., event_payload: _Optional[_Iterable[bytes]] = ..., event_content_type: _Optional[_Iterable[_Union[ContentType, str]]] = ..., memory_path: _Optional[_Iterable[str]] = ..., memory_value: _Optional[_Iterable[bytes]] = ..., handed_back: _Optional[_Iterable[int]] = ..., ran_ms: _Optional[_Iterable[int]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("handle", "kind", "exception", "message", "stack", "retry_after_ms", "drop_calls", "ran_ms")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Failure.Kind]
        BUG: _ClassVar[Failure.Kind]
        RETRYABLE: _ClassVar[Failure.Kind]
        TERMINAL: _ClassVar[Failure.Kind]
        TIMEOUT: _ClassVar[Failure.Kind]
        CANCELLED: _ClassVar[Failure.Kind]
        REPLAY_MISMATCH: _ClassVar[Failure.Kind]
        NOT_ENCODABLE: _ClassVar[Failure.Kind]
        TOO_LARGE: _ClassVar[Failure.Kind]
        UNKNOWN_ACTION: _ClassVar[Failure.Kind]
    KIND_UNSPECIFIED: Failure.Kind
    BUG: Failure.Kind
    RETRYABLE: Failure.Kind
    TERMINAL: Failure.Kind
    TIMEOUT: Failure.Kind
    CANCELLED: Failure.Kind
    REPLAY_MISMATCH: Failure.Kind
    NOT_ENCODABLE: Failure.Kind
    TOO_LARGE: Failure.Kind
    UNKNOWN_ACTION: Failure.Kind
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    EXCEPTION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STACK_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    DROP_CALLS_FIELD_NUMBER: _ClassVar[int]
    RAN_MS_FIELD_NUMBER: _ClassVar[int]
    handle: int
    kind: Failure.Kind
    exception: str
    message: str
    stack: str
    retry_after_ms: int
    drop_calls: _containers.RepeatedCompositeFieldContainer[CallPlace]
    ran_ms: int
    def __init__(self, handle: _Optional[int] = ..., kind: _Optional[_Union[Failure.Kind, str]] = ..., exception: _Optional[str] = ..., message: _Optional[str] = ..., stack: _Optional[str] = ..., retry_after_ms: _Optional[int] = ..., drop_calls: _Optional[_Iterable[_Union[CallPlace, _Mapping]]] = ..., ran_ms: _Optional[int] = ...) -> None: ...

class Bounce(_message.Message):
    __slots__ = ("handle", "reason")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Bounce.Reason]
        DRAINING: _ClassVar[Bounce.Reason]
        OVERLOADED: _ClassVar[Bounce.Reason]
        FENCED: _ClassVar[Bounce.Reason]
    REASON_UNSPECIFIED: Bounce.Reason
    DRAINING: Bounce.Reason
    OVERLOADED: Bounce.Reason
    FENCED: Bounce.Reason
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    handle: int
    reason: Bounce.Reason
    def __init__(self, handle: _Optional[int] = ..., reason: _Optional[_Union[Bounce.Reason, str]] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("handles", "reason")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Cancel.Reason]
        SUPERSEDED: _ClassVar[Cancel.Reason]
        TIMEOUT: _ClassVar[Cancel.Reason]
        JOB_CANCELLED: _ClassVar[Cancel.Reason]
    REASON_UNSPECIFIED: Cancel.Reason
    SUPERSEDED: Cancel.Reason
    TIMEOUT: Cancel.Reason
    JOB_CANCELLED: Cancel.Reason
    HANDLES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    handles: _containers.RepeatedScalarFieldContainer[int]
    reason: Cancel.Reason
    def __init__(self, handles: _Optional[_Iterable[int]] = ..., reason: _Optional[_Union[Cancel.Reason, str]] = ...) -> None: ...

class CallPlace(_message.Message):
    __slots__ = ("task", "index")
    TASK_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    task: str
    index: int
    def __init__(self, task: _Optional[str] = ..., index: _Optional[int] = ...) -> None: ...

class CallStarted(_message.Message):
    __slots__ = ("handle", "place", "function_id", "arguments_digest")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_ID_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    handle: int
    place: CallPlace
    function_id: str
    arguments_digest: bytes
    def __init__(self, handle: _Optional[int] = ..., place: _Optional[_Union[CallPlace, _Mapping]] = ..., function_id: _Optional[str] = ..., arguments_digest: _Optional[bytes] = ...) -> None: ...

class CallRecord(_message.Message):
    __slots__ = ("handle", "place", "function_id", "arguments_digest", "content_type", "value", "failure", "started_only", "is_last")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_ID_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    STARTED_ONLY_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    handle: int
    place: CallPlace
    function_id: str
    arguments_digest: bytes
    content_type: ContentType
    value: bytes
    failure: CallFailure
    started_only: bool
    is_last: bool
    def __init__(self, handle: _Optional[int] = ..., place: _Optional[_Union[CallPlace, _Mapping]] = ..., function_id: _Optional[str] = ..., arguments_digest: _Optional[bytes] = ..., content_type: _Optional[_Union[ContentType, str]] = ..., value: _Optional[bytes] = ..., failure: _Optional[_Union[CallFailure, _Mapping]] = ..., started_only: bool = ..., is_last: bool = ...) -> None: ...

class CallFailure(_message.Message):
    __slots__ = ("exception", "message", "is_terminal", "arguments")
    EXCEPTION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    IS_TERMINAL_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    exception: str
    message: str
    is_terminal: bool
    arguments: bytes
    def __init__(self, exception: _Optional[str] = ..., message: _Optional[str] = ..., is_terminal: bool = ..., arguments: _Optional[bytes] = ...) -> None: ...

class CallsRecorded(_message.Message):
    __slots__ = ("handle", "places")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    handle: int
    places: _containers.RepeatedCompositeFieldContainer[CallPlace]
    def __init__(self, handle: _Optional[int] = ..., places: _Optional[_Iterable[_Union[CallPlace, _Mapping]]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("handle", "kind", "payload")
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    handle: int
    kind: str
    payload: bytes
    def __init__(self, handle: _Optional[int] = ..., kind: _Optional[str] = ..., payload: _Optional[bytes] = ...) -> None: ...

class MetricDelta(_message.Message):
    __slots__ = ("handle", "path", "is_of_action", "kind", "value", "is_of_server")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[MetricDelta.Kind]
        COUNTER: _ClassVar[MetricDelta.Kind]
        METER: _ClassVar[MetricDelta.Kind]
        GAUGE: _ClassVar[MetricDelta.Kind]
        HISTOGRAM: _ClassVar[MetricDelta.Kind]
    KIND_UNSPECIFIED: MetricDelta.Kind
    COUNTER: MetricDelta.Kind
    METER: MetricDelta.Kind
    GAUGE: MetricDelta.Kind
    HISTOGRAM: MetricDelta.Kind
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    IS_OF_ACTION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    IS_OF_SERVER_FIELD_NUMBER: _ClassVar[int]
    handle: int
    path: _containers.RepeatedScalarFieldContainer[str]
    is_of_action: bool
    kind: MetricDelta.Kind
    value: float
    is_of_server: bool
    def __init__(self, handle: _Optional[int] = ..., path: _Optional[_Iterable[str]] = ..., is_of_action: bool = ..., kind: _Optional[_Union[MetricDelta.Kind, str]] = ..., value: _Optional[float] = ..., is_of_server: bool = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("invocations", "bytes")
    INVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    invocations: int
    bytes: int
    def __init__(self, invocations: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("id", "loop_lag_us", "kept_bytes", "kept_dropped", "kept_missed")
    ID_FIELD_NUMBER: _ClassVar[int]
    LOOP_LAG_US_FIELD_NUMBER: _ClassVar[int]
    KEPT_BYTES_FIELD_NUMBER: _ClassVar[int]
    KEPT_DROPPED_FIELD_NUMBER: _ClassVar[int]
    KEPT_MISSED_FIELD_NUMBER: _ClassVar[int]
    id: int
    loop_lag_us: int
    kept_bytes: int
    kept_dropped: int
    kept_missed: int
    def __init__(self, id: _Optional[int] = ..., loop_lag_us: _Optional[int] = ..., kept_bytes: _Optional[int] = ..., kept_dropped: _Optional[int] = ..., kept_missed: _Optional[int] = ...) -> None: ...

class Holdings(_message.Message):
    __slots__ = ("invocations", "epoch", "attempt", "is_last")
    INVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    invocations: bytes
    epoch: _containers.RepeatedScalarFieldContainer[int]
    attempt: _containers.RepeatedScalarFieldContainer[int]
    is_last: bool
    def __init__(self, invocations: _Optional[bytes] = ..., epoch: _Optional[_Iterable[int]] = ..., attempt: _Optional[_Iterable[int]] = ..., is_last: bool = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("reason", "limit_ms")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Drain.Reason]
        RELOAD: _ClassVar[Drain.Reason]
        SHUTDOWN: _ClassVar[Drain.Reason]
    REASON_UNSPECIFIED: Drain.Reason
    RELOAD: Drain.Reason
    SHUTDOWN: Drain.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    LIMIT_MS_FIELD_NUMBER: _ClassVar[int]
    reason: Drain.Reason
    limit_ms: int
    def __init__(self, reason: _Optional[_Union[Drain.Reason, str]] = ..., limit_ms: _Optional[int] = ...) -> None: ...

class Bye(_message.Message):
    __slots__ = ("reason", "message")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Bye.Reason]
        FINISHED: _ClassVar[Bye.Reason]
        JOB_CANCELLED: _ClassVar[Bye.Reason]
        FENCED: _ClassVar[Bye.Reason]
        PROTOCOL_ERROR: _ClassVar[Bye.Reason]
    REASON_UNSPECIFIED: Bye.Reason
    FINISHED: Bye.Reason
    JOB_CANCELLED: Bye.Reason
    FENCED: Bye.Reason
    PROTOCOL_ERROR: Bye.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: Bye.Reason
    message: str
    def __init__(self, reason: _Optional[_Union[Bye.Reason, str]] = ..., message: _Optional[str] = ...) -> None: ...

class CheckpointCompleted(_message.Message):
    __slots__ = ("checkpoint_id", "cut")
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: int
    cut: int
    def __init__(self, checkpoint_id: _Optional[int] = ..., cut: _Optional[int] = ...) -> None: ...
