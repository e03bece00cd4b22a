"""The parts that need no deployment."""

import re
from pathlib import Path

import numpy as np
import pytest
from tacit.config import load_config
from tacit.errors import TacitError
from tacit.ring import MaskStream, pack, packed_bytes, to_signed, token_width, unpack
from tacit.sampler import Mt19937_64, Sampler

CONFIG = """
model: gateway
dealer: {address: "127.0.0.1:1"}
party0: {address: "127.0.0.1:2"}
party1: {address: "127.0.0.1:3"}
tls: {ca: ca.pem, cert: cert.pem, key: key.pem}
deadlines: {step: 1500ms}
"""


@pytest.mark.parametrize("count", [0, 1, 3, 8, 129])
@pytest.mark.parametrize("width", [1, 7, 8, 11, 41, 63, 64])
def test_packing_keeps_the_words(count: int, width: int) -> None:
    rng = np.random.default_rng(7)
    words = rng.integers(0, 1 << 64, count, np.uint64, endpoint=False)
    words >>= np.uint64(64 - width)
    packed = pack(words, width)
    assert len(packed) == packed_bytes(count, width)
    assert np.array_equal(unpack(packed, count, width), words)


def test_packing_is_the_wire_format() -> None:
    # Element i in bits [5 i, 5 i + 5), least significant first.
    value = 3 | 31 << 5 | 16 << 10
    assert pack(np.array([3, 31, 16], np.uint64), 5) == value.to_bytes(2, "little")


@pytest.mark.parametrize("size", [0, 1, 3])
def test_unpacking_refuses_other_sizes(size: int) -> None:
    with pytest.raises(ValueError, match="3 words of 5 bits need 2"):
        unpack(b"\0" * size, 3, 5)


def test_signs() -> None:
    words = np.array([0, 1, 15, 16, 31], np.uint64)
    assert to_signed(words, 5).tolist() == [0, 1, 15, -16, -1]
    # Sums of shares need not be reduced.
    assert to_signed(np.array([32 + 17], np.uint64), 5).tolist() == [-15]


@pytest.mark.parametrize("vocabulary,width", [(2, 2), (3, 3), (1024, 11), (32000, 16)])
def test_token_width(vocabulary: int, width: int) -> None:
    assert token_width(vocabulary) == width


def test_masks_continue_and_differ() -> None:
    whole = MaskStream(b"\x01" * 32).next(8)
    parts = MaskStream(b"\x01" * 32)
    # An odd count uses up its last block: no half of one serves twice.
    first, second = parts.next(3), parts.next(2)
    assert np.array_equal(first, whole[:3])
    assert np.array_equal(second, whole[4:6])
    assert not np.array_equal(MaskStream(b"\x02" * 32).next(8), whole)
    with pytest.raises(ValueError):
        MaskStream(b"short")


def test_mask_counter_carries_over_128_bits() -> None:
    stream = MaskStream(b"\x01" * 32)
    stream._counter = (1 << 128) - 1
    wrapped = stream.next(4)
    stream._counter = 0
    assert np.array_equal(stream.next(2), wrapped[2:])


def test_mersenne_twister_is_the_standard_one() -> None:
    # ISO C++, [rand.predef]: the 10000th value of a default mt19937_64.
    rng = Mt19937_64(5489)
    for _ in range(9999):
        rng.next()
    assert rng.next() == 9981545732273789042


def test_sampling_keeps_to_its_limits() -> None:
    logits = np.array([0.0, 3.0, 2.0, -1.0])
    assert Sampler(0, 0, 1, 1, 0).next(logits, []) == 1
    assert Sampler(0, 0, 1, 2, 0).next(logits, [1]) == 2
    sampler = Sampler(1, 2, 1, 1, 3)
    assert {sampler.next(logits, []) for _ in range(200)} == {1, 2}
    sampler = Sampler(1, 0, 0.5, 1, 3)
    assert {sampler.next(logits, []) for _ in range(200)} == {1}


@pytest.mark.parametrize(
    "options,name",
    [
        ((-1, 0, 1, 1, 0), "temperature"),
        ((float("nan"), 0, 1, 1, 0), "temperature"),
        ((0, -1, 1, 1, 0), "top_k"),
        ((0, 0, 0, 1, 0), "top_p"),
        ((0, 0, 1, 0, 0), "repetition_penalty"),
    ],
)
def test_sampling_names_a_bad_option(options: tuple, name: str) -> None:
    with pytest.raises(TacitError, match=name):
        Sampler(*options)


def test_config(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG)
    config = load_config(file)
    assert config.addresses["party1"] == "127.0.0.1:3"
    assert config.ca == tmp_path / "ca.pem"
    assert config.step_timeout == 1.5


@pytest.mark.parametrize(
    "old,new,message",
    [
        ('"127.0.0.1:2"', "7", "party0.address: must be HOST:PORT"),
        ("model: gateway", "", "model: is missing"),
        ("key: key.pem", "", "tls.key: is missing"),
        ("1500ms", "soon", "deadlines.step: 'soon' is no duration"),
        (CONFIG, "{", "gateway.yaml"),
        (
            '"127.0.0.1:3"}\ntls: {',
            '"10.0.0.1:3"}\ntls: {insecure: true, ',
            "party1 is at 10.0.0.1:3, not on loopback",
        ),
    ],
)
def test_config_says_what_is_wrong(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    file = tmp_path / "gateway.yaml"
    assert old in CONFIG
    file.write_text(CONFIG.replace(old, new))
    with pytest.raises(TacitError, match=re.escape(message)) as caught:
        load_config(file)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_a_missing_config_is_named() -> None:
    with pytest.raises(TacitError, match="NOT_FOUND: /nowhere.yaml"):
        load_config("/nowhere.yaml")
