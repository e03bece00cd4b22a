from tacit.v1 import plan_pb2 as _plan_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InferRequest(_message.Message):
    __slots__ = ("start", "input")
    START_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    start: InferStart
    input: MaskedInput
    def __init__(self, start: _Optional[_Union[InferStart, _Mapping]] = ..., input: _Optional[_Union[MaskedInput, _Mapping]] = ...) -> None: ...

class InferResponse(_message.Message):
    __slots__ = ("output",)
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    output: OutputShare
    def __init__(self, output: _Optional[_Union[OutputShare, _Mapping]] = ...) -> None: ...

class InferStart(_message.Message):
    __slots__ = ("session_id", "plan_digest", "shape")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    plan_digest: bytes
    shape: _plan_pb2.SessionShape
    def __init__(self, session_id: _Optional[bytes] = ..., plan_digest: _Optional[bytes] = ..., shape: _Optional[_Union[_plan_pb2.SessionShape, _Mapping]] = ...) -> None: ...

class MaskedInput(_message.Message):
    __slots__ = ("index", "width", "count", "packed")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PACKED_FIELD_NUMBER: _ClassVar[int]
    index: int
    width: int
    count: int
    packed: bytes
    def __init__(self, index: _Optional[int] = ..., width: _Optional[int] = ..., count: _Optional[int] = ..., packed: _Optional[bytes] = ...) -> None: ...

class OutputShare(_message.Message):
    __slots__ = ("index", "width", "count", "packed")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PACKED_FIELD_NUMBER: _ClassVar[int]
    index: int
    width: int
    count: int
    packed: bytes
    def __init__(self, index: _Optional[int] = ..., width: _Optional[int] = ..., count: _Optional[int] = ..., packed: _Optional[bytes] = ...) -> None: ...
