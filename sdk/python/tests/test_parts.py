"""The parts that need no deployment."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from tacit.client import _labels, session_digest
from tacit.config import load_config
from tacit.errors import InvalidArgument, TacitError, Unavailable
from tacit.ring import (
    MaskStream,
    derive_seed,
    pack,
    packed_bytes,
    to_signed,
    token_width,
    unpack,
)
from tacit.sampler import Mt19937_64, Sampler
from tacit.text import TextCodec, TextStream
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

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


# The vectors of common/prg/seed_test.cc.
@pytest.mark.parametrize(
    "label,derived",
    [
        ("", "37ad29109f43265287804b674e2653d0a513718907f97fca97c95bded8104bbf"),
        (
            "tacit/test",
            "18aa1a4ae26e6548e17f1616039398012d5198b102bb88cbafb1c1a29bf2f099",
        ),
    ],
)
def test_derived_seeds(label: str, derived: str) -> None:
    assert derive_seed(bytes(range(32)), label.encode()).hex() == derived


# The vectors of common/prg/prg_test.cc: FIPS 197, and carries of the counter.
@pytest.mark.parametrize(
    "nonce,block,expected",
    [
        (
            bytes.fromhex("00112233445566778899aabbccddeeff"),
            0,
            "69c4e0d86a7b0430d8cdb78070b4c55a",
        ),
        (((1 << 64) - 3).to_bytes(16, "little"), 2, "25d4e948bd5e1296afc0bf87095a7248"),
        (((1 << 64) - 3).to_bytes(16, "little"), 3, "5f2c80d352d3e8fcb4aea438188d77c8"),
        (b"\xff" * 16, 0, "3c441f32ce07822364d7a2990e50bb13"),
        (b"\xff" * 16, 1, "c6a13b37878f5b826f4f8162a1c8d879"),
    ],
)
def test_mask_blocks(
    monkeypatch: pytest.MonkeyPatch, nonce: bytes, block: int, expected: str
) -> None:
    monkeypatch.setattr(
        "tacit.ring.derive_seed", lambda seed, label: bytes(range(16)) + nonce
    )
    words = MaskStream(bytes(32)).next(2 * block + 2)
    assert words[2 * block :].astype("<u8").tobytes().hex() == expected


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
        ("127.0.0.1:2", "127.0.0.1:99999", "party0.address: must be HOST:PORT"),
        ("127.0.0.1:2", "127.0.0.1:", "party0.address: must be HOST:PORT"),
        ("key: key.pem", "key: key.pem, check_hostname: false", "tls.check_hostname"),
        ("model: gateway", "name: a b\nmodel: gateway", "name: letters"),
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


def test_errors_have_classes() -> None:
    error = TacitError("UNAVAILABLE", "party 0: gone")
    assert type(error) is Unavailable
    assert str(error) == "UNAVAILABLE: party 0: gone"
    assert error.retriable
    assert type(TacitError("DATA_CORRUPT", "?")) is TacitError
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message) == (Unavailable, "party 0: gone")


def test_session_digests_are_of_the_run_of_provisioning() -> None:
    plan = {"digest": "ab" * 32, "provision": "CD" * 16, "weights": "blind"}
    digest = session_digest(plan, Path("plan.json"))
    # sha256sum of "tacit provision 1 abab.. cdcd.. blind"
    expected = "bec69e42de1d048727addd44d141648e2eecee717de1ba9a9916a8d2a85b06bb"
    assert digest.hex() == expected
    for name, value in (("digest", "ab"), ("provision", None), ("weights", "x")):
        with pytest.raises(InvalidArgument, match=f"plan.json: {name}"):
            session_digest({**plan, name: value}, Path("plan.json"))


@pytest.fixture
def codec(tmp_path: Path) -> TextCodec:
    """Bytes as tokens; <s> is special, <tool> a control token that is not."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return TextCodec(tmp_path)


def test_control_tokens_in_a_prompt_stay_text(codec: TextCodec) -> None:
    for text in ("a<s>b", "a<tool>b"):
        ids = codec.encode(text)
        assert len(ids) == len(text)
        assert codec.decode(ids) == text
    # A model's own are read as ever.
    assert codec.decode([256, 257]) == "<tool>"


@pytest.mark.parametrize("text", ["", "a\ud800", None])
def test_what_is_no_prompt(codec: TextCodec, text: str) -> None:
    with pytest.raises(InvalidArgument, match="the prompt"):
        codec.encode(text)


def test_a_vocabulary_that_cannot_write_a_control_token(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "a": 1, "?": 2}, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    codec = TextCodec(tmp_path)
    assert codec.encode("a b") == [1, 2]
    with pytest.raises(InvalidArgument, match="spells control token 0"):
        codec.encode("a <s>")


def test_pieces_are_whole_characters(codec: TextCodec) -> None:
    text = "aé€😀"
    stream = TextStream(codec, [])
    pieces = [stream.add(token) for token in codec.encode(text)]
    assert [p for p in pieces if p] == list(text)
    assert stream.finish() == ""
    assert stream.text == text


def test_silent_tokens_do_not_break_a_character(codec: TextCodec) -> None:
    first, second = codec.encode("é")
    stream = TextStream(codec, [])
    pieces = [stream.add(token) for token in (first, 256, 100_000, second)]
    assert "".join(pieces) == "é"


def test_half_a_character_is_held_back_but_not_for_ever(codec: TextCodec) -> None:
    half = codec.encode("é")[0]
    stream = TextStream(codec, [])
    assert stream.add(half) == ""
    assert stream.finish() == "\ufffd"
    stream = TextStream(codec, [])
    assert "".join(stream.add(half) for _ in range(20)).count("\ufffd") == 16


def test_stop_texts_across_pieces(codec: TextCodec) -> None:
    stream = TextStream(codec, ["", "ab"])
    a, b = codec.encode("ab")
    stream.add(a)
    assert not stream.stopped()
    stream.add(b)
    assert stream.stopped()


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"model": 1})])
def test_a_broken_tokenizer_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InvalidArgument, match="tokenizer.json"):
        TextCodec(tmp_path)


def test_pairs_are_marked_as_the_model_wants_them() -> None:
    codec = TextCodec(Path(__file__).parents[3] / "models" / "test-bert")
    # The ids of golden.json's sentences, which begin so.
    ids, segments = codec.encode_pair("good", "dull , slow")
    assert ids == [2, 336, 3, 1004, 7, 1406, 3]
    assert segments == [0, 0, 0, 1, 1, 1, 1]
    ids, _ = codec.encode_pair("[SEP]", "a [CLS]")
    assert (ids.count(2), ids.count(3)) == (1, 2)
    with pytest.raises(InvalidArgument, match="the second text is empty"):
        codec.encode_pair("a", "")


def test_labels_are_in_the_order_of_their_ids() -> None:
    file = Path("config.json")
    assert _labels({"id2label": {"1": "b", "0": "a"}}, file) == ("a", "b")
    assert _labels({"num_labels": 3}, file) == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert _labels({}, file) == ("LABEL_0", "LABEL_1")
    for bad in ({}, [], {"0": 1}, {"1": "a"}, {"0": "a", "2": "b"}):
        with pytest.raises(InvalidArgument, match="id2label"):
            _labels({"id2label": bad}, file)
