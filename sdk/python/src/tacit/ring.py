"""Elements of Z_{2^width}: packing, signs, and the gateway's masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Words = npt.NDArray[np.uint64]

SEED_BYTES = 32


def _mask(width: int) -> np.uint64:
    return np.uint64((1 << width) - 1)


def packed_bytes(count: int, width: int) -> int:
    return (count * width + 7) // 8


def pack(words: Words, width: int) -> bytes:
    """`width` bits of each word, least significant first, as inference.proto says."""
    if words.size == 0:
        return b""
    octets = np.ascontiguousarray(words, dtype="<u8").view(np.uint8).reshape(-1, 8)
    bits = np.unpackbits(octets, axis=1, bitorder="little")[:, :width]
    return np.packbits(bits.reshape(-1), bitorder="little").tobytes()


def unpack(packed: bytes, count: int, width: int) -> Words:
    """The inverse. ValueError unless `packed` has just the size needed."""
    if not 1 <= width <= 64 or len(packed) != packed_bytes(count, width):
        raise ValueError(
            f"{len(packed)} bytes where {count} words of {width} bits need "
            f"{packed_bytes(count, width)}"
        )
    if count == 0:
        return np.zeros(0, np.uint64)
    bits = np.unpackbits(
        np.frombuffer(packed, np.uint8), count=count * width, bitorder="little"
    ).reshape(count, width)
    wide = np.zeros((count, 64), np.uint8)
    wide[:, :width] = bits
    return np.packbits(wide, axis=1, bitorder="little").view("<u8").reshape(-1)


def to_signed(words: Words, width: int) -> npt.NDArray[np.int64]:
    """Words modulo 2^width as integers in [-2^(width-1), 2^(width-1))."""
    shift = np.uint64(64 - width)
    return (words << shift).view(np.int64) >> np.int64(64 - width)


def token_width(vocabulary: int) -> int:
    """Bits of the wire that carries token ids: they are not negative, and a
    wire is signed."""
    bits = 1
    while bits < 63 and (vocabulary - 1) >> bits:
        bits += 1
    return bits + 1


def derive_seed(seed: bytes, label: bytes) -> bytes:
    """Another seed for one use: HKDF-SHA256 without salt, `label` as info."""
    return HKDF(SHA256(), SEED_BYTES, None, label).derive(seed)


class MaskStream:
    """The gateway's masks of one session: SECRET, each used once.

    AES-128 in counter mode under a key derived from the session's seed by
    HKDF-SHA256; block p is AES_k(nonce + p), 128-bit little-endian.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed of {len(seed)} bytes, not {SEED_BYTES}")
        derived = derive_seed(seed, b"tacit/v1/input")
        self._cipher = Cipher(algorithms.AES(derived[:16]), modes.ECB())
        self._counter = int.from_bytes(derived[16:], "little")

    def next(self, count: int) -> Words:
        """`count` words that were never given before."""
        blocks = (count + 1) // 2
        plain = b"".join(
            ((self._counter + i) % (1 << 128)).to_bytes(16, "little")
            for i in range(blocks)
        )
        self._counter += blocks
        encryptor = self._cipher.encryptor()
        stream = encryptor.update(plain) + encryptor.finalize()
        return np.frombuffer(stream, "<u8")[:count].astype(np.uint64)

    def masked(self, values: Words, width: int) -> Words:
        """values + mask modulo 2^width: what the parties may see."""
        return (values + self.next(values.size)) & _mask(width)
