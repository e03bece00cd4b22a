from tacit.v1 import plan_pb2 as _plan_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OpenSessionRequest(_message.Message):
    __slots__ = ("plan_digest", "shape")
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    plan_digest: bytes
    shape: _plan_pb2.SessionShape
    def __init__(self, plan_digest: _Optional[bytes] = ..., shape: _Optional[_Union[_plan_pb2.SessionShape, _Mapping]] = ...) -> None: ...

class OpenSessionResponse(_message.Message):
    __slots__ = ("session_id", "gateway_seed", "idle_timeout_ms")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_SEED_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    gateway_seed: bytes
    idle_timeout_ms: int
    def __init__(self, session_id: _Optional[bytes] = ..., gateway_seed: _Optional[bytes] = ..., idle_timeout_ms: _Optional[int] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    def __init__(self, session_id: _Optional[bytes] = ...) -> None: ...

class CloseSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamMaterialRequest(_message.Message):
    __slots__ = ("session_id", "party")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    party: int
    def __init__(self, session_id: _Optional[bytes] = ..., party: _Optional[int] = ...) -> None: ...

class StreamMaterialResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...
