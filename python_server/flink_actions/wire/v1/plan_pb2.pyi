from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Durability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_UNSPECIFIED: _ClassVar[Durability]
    NONE: _ClassVar[Durability]
    CHECKPOINT: _ClassVar[Durability]
    SYNCHRONOUS: _ClassVar[Durability]

class MismatchPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MISMATCH_UNSPECIFIED: _ClassVar[MismatchPolicy]
    MISMATCH_FAIL: _ClassVar[MismatchPolicy]
    MISMATCH_TRUNCATE: _ClassVar[MismatchPolicy]
DURABILITY_UNSPECIFIED: Durability
NONE: Durability
CHECKPOINT: Durability
SYNCHRONOUS: Durability
MISMATCH_UNSPECIFIED: MismatchPolicy
MISMATCH_FAIL: MismatchPolicy
MISMATCH_TRUNCATE: MismatchPolicy

class Plan(_message.Message):
    __slots__ = ("agent", "digest", "code_digest", "actions", "memory", "hop_limit", "rates")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CODE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    HOP_LIMIT_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    agent: str
    digest: bytes
    code_digest: bytes
    actions: _containers.RepeatedCompositeFieldContainer[Action]
    memory: MemorySettings
    hop_limit: int
    rates: _containers.RepeatedCompositeFieldContainer[ResourceRate]
    def __init__(self, agent: _Optional[str] = ..., digest: _Optional[bytes] = ..., code_digest: _Optional[bytes] = ..., actions: _Optional[_Iterable[_Union[Action, _Mapping]]] = ..., memory: _Optional[_Union[MemorySettings, _Mapping]] = ..., hop_limit: _Optional[int] = ..., rates: _Optional[_Iterable[_Union[ResourceRate, _Mapping]]] = ...) -> None: ...

class ResourceRate(_message.Message):
    __slots__ = ("type", "name", "limit", "per_seconds", "burst")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    type: str
    name: str
    limit: float
    per_seconds: float
    burst: int
    def __init__(self, type: _Optional[str] = ..., name: _Optional[str] = ..., limit: _Optional[float] = ..., per_seconds: _Optional[float] = ..., burst: _Optional[int] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("name", "triggers", "on_failure", "timeout_ms", "durability", "concurrency", "config", "on_mismatch", "former_names")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TRIGGERS_FIELD_NUMBER: _ClassVar[int]
    ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    ON_MISMATCH_FIELD_NUMBER: _ClassVar[int]
    FORMER_NAMES_FIELD_NUMBER: _ClassVar[int]
    name: str
    triggers: _containers.RepeatedCompositeFieldContainer[Trigger]
    on_failure: FailurePolicy
    timeout_ms: int
    durability: Durability
    concurrency: int
    config: bytes
    on_mismatch: MismatchPolicy
    former_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., triggers: _Optional[_Iterable[_Union[Trigger, _Mapping]]] = ..., on_failure: _Optional[_Union[FailurePolicy, _Mapping]] = ..., timeout_ms: _Optional[int] = ..., durability: _Optional[_Union[Durability, str]] = ..., concurrency: _Optional[int] = ..., config: _Optional[bytes] = ..., on_mismatch: _Optional[_Union[MismatchPolicy, str]] = ..., former_names: _Optional[_Iterable[str]] = ...) -> None: ...

class Trigger(_message.Message):
    __slots__ = ("event_type", "cel")
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    CEL_FIELD_NUMBER: _ClassVar[int]
    event_type: str
    cel: str
    def __init__(self, event_type: _Optional[str] = ..., cel: _Optional[str] = ...) -> None: ...

class FailurePolicy(_message.Message):
    __slots__ = ("decision", "max_attempts", "initial_backoff_ms", "max_backoff_ms", "multiplier_permille", "jitter_permille")
    class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DECISION_UNSPECIFIED: _ClassVar[FailurePolicy.Decision]
        FAIL: _ClassVar[FailurePolicy.Decision]
        DEAD_LETTER: _ClassVar[FailurePolicy.Decision]
        IGNORE: _ClassVar[FailurePolicy.Decision]
    DECISION_UNSPECIFIED: FailurePolicy.Decision
    FAIL: FailurePolicy.Decision
    DEAD_LETTER: FailurePolicy.Decision
    IGNORE: FailurePolicy.Decision
    DECISION_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_BACKOFF_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_BACKOFF_MS_FIELD_NUMBER: _ClassVar[int]
    MULTIPLIER_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    JITTER_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    decision: FailurePolicy.Decision
    max_attempts: int
    initial_backoff_ms: int
    max_backoff_ms: int
    multiplier_permille: int
    jitter_permille: int
    def __init__(self, decision: _Optional[_Union[FailurePolicy.Decision, str]] = ..., max_attempts: _Optional[int] = ..., initial_backoff_ms: _Optional[int] = ..., max_backoff_ms: _Optional[int] = ..., multiplier_permille: _Optional[int] = ..., jitter_permille: _Optional[int] = ...) -> None: ...

class MemorySettings(_message.Message):
    __slots__ = ("short_term_ttl_ms",)
    SHORT_TERM_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    short_term_ttl_ms: int
    def __init__(self, short_term_ttl_ms: _Optional[int] = ...) -> None: ...
