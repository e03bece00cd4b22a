from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_KIND_UNSPECIFIED: _ClassVar[ModelKind]
    MODEL_KIND_DECODER: _ClassVar[ModelKind]
    MODEL_KIND_CLASSIFIER: _ClassVar[ModelKind]

class WeightMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WEIGHT_MODE_UNSPECIFIED: _ClassVar[WeightMode]
    WEIGHT_MODE_DEALER_HELD: _ClassVar[WeightMode]
    WEIGHT_MODE_BLIND: _ClassVar[WeightMode]

class Rounding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUNDING_UNSPECIFIED: _ClassVar[Rounding]
    ROUNDING_STOCHASTIC: _ClassVar[Rounding]
    ROUNDING_FAITHFUL: _ClassVar[Rounding]

class SamplingMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SAMPLING_MODE_UNSPECIFIED: _ClassVar[SamplingMode]
    SAMPLING_MODE_CLIENT: _ClassVar[SamplingMode]
    SAMPLING_MODE_SECURE: _ClassVar[SamplingMode]

class EmbeddingMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EMBEDDING_MODE_UNSPECIFIED: _ClassVar[EmbeddingMode]
    EMBEDDING_MODE_SECURE: _ClassVar[EmbeddingMode]
    EMBEDDING_MODE_CLIENT: _ClassVar[EmbeddingMode]
MODEL_KIND_UNSPECIFIED: ModelKind
MODEL_KIND_DECODER: ModelKind
MODEL_KIND_CLASSIFIER: ModelKind
WEIGHT_MODE_UNSPECIFIED: WeightMode
WEIGHT_MODE_DEALER_HELD: WeightMode
WEIGHT_MODE_BLIND: WeightMode
ROUNDING_UNSPECIFIED: Rounding
ROUNDING_STOCHASTIC: Rounding
ROUNDING_FAITHFUL: Rounding
SAMPLING_MODE_UNSPECIFIED: SamplingMode
SAMPLING_MODE_CLIENT: SamplingMode
SAMPLING_MODE_SECURE: SamplingMode
EMBEDDING_MODE_UNSPECIFIED: EmbeddingMode
EMBEDDING_MODE_SECURE: EmbeddingMode
EMBEDDING_MODE_CLIENT: EmbeddingMode

class GetPlanRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPlanResponse(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: PlanSummary
    def __init__(self, plan: _Optional[_Union[PlanSummary, _Mapping]] = ...) -> None: ...

class PlanSummary(_message.Message):
    __slots__ = ("digest", "model_name", "architecture", "context_tokens", "vocabulary_size", "token_width_bits", "logit_fraction_bits", "weight_mode", "logit_width_bits", "model_kind", "labels", "segment_width_bits")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_SIZE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_WIDTH_BITS_FIELD_NUMBER: _ClassVar[int]
    LOGIT_FRACTION_BITS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_MODE_FIELD_NUMBER: _ClassVar[int]
    LOGIT_WIDTH_BITS_FIELD_NUMBER: _ClassVar[int]
    MODEL_KIND_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_WIDTH_BITS_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    model_name: str
    architecture: str
    context_tokens: int
    vocabulary_size: int
    token_width_bits: int
    logit_fraction_bits: int
    weight_mode: WeightMode
    logit_width_bits: int
    model_kind: ModelKind
    labels: _containers.RepeatedScalarFieldContainer[str]
    segment_width_bits: int
    def __init__(self, digest: _Optional[bytes] = ..., model_name: _Optional[str] = ..., architecture: _Optional[str] = ..., context_tokens: _Optional[int] = ..., vocabulary_size: _Optional[int] = ..., token_width_bits: _Optional[int] = ..., logit_fraction_bits: _Optional[int] = ..., weight_mode: _Optional[_Union[WeightMode, str]] = ..., logit_width_bits: _Optional[int] = ..., model_kind: _Optional[_Union[ModelKind, str]] = ..., labels: _Optional[_Iterable[str]] = ..., segment_width_bits: _Optional[int] = ...) -> None: ...

class SecureSampling(_message.Message):
    __slots__ = ("temperature", "top_k", "top_p")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_k: int
    top_p: float
    def __init__(self, temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ...) -> None: ...

class SessionShape(_message.Message):
    __slots__ = ("prompt_tokens", "max_tokens", "sampling_mode", "secure_sampling", "rounding", "embedding_mode", "classification")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_MODE_FIELD_NUMBER: _ClassVar[int]
    SECURE_SAMPLING_FIELD_NUMBER: _ClassVar[int]
    ROUNDING_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODE_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: _containers.RepeatedScalarFieldContainer[int]
    max_tokens: int
    sampling_mode: SamplingMode
    secure_sampling: SecureSampling
    rounding: Rounding
    embedding_mode: EmbeddingMode
    classification: Classification
    def __init__(self, prompt_tokens: _Optional[_Iterable[int]] = ..., max_tokens: _Optional[int] = ..., sampling_mode: _Optional[_Union[SamplingMode, str]] = ..., secure_sampling: _Optional[_Union[SecureSampling, _Mapping]] = ..., rounding: _Optional[_Union[Rounding, str]] = ..., embedding_mode: _Optional[_Union[EmbeddingMode, str]] = ..., classification: _Optional[_Union[Classification, _Mapping]] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("segments",)
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    segments: bool
    def __init__(self, segments: bool = ...) -> None: ...
