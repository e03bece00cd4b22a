"""Writes known answers for common/fss, from the formulas in dpf.h and
onehot_dpf.h, one key and one point at a time; shares no code with the C++.

    python3 common/fss/testdata/dpf_vectors.py > common/fss/testdata/dpf_vectors.txt

Needs the `cryptography` package. Output: a magic line, then records that start
with `dpf` or `onehot` and end with `end`; within one, a name and its values on
each line. Numbers are decimal, byte strings hexadecimal.
"""

import hashlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

MASK64 = 2**64 - 1
MASK128 = 2**128 - 1


def aes(key):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return lambda x: int.from_bytes(
        encryptor.update(x.to_bytes(16, "little")), "little")


PI = aes(hashlib.sha256(b"tacit/dpf/aes-128/v1").digest()[:16])


def hash_block(x):
    """H(x) = pi(sigma(x)) xor sigma(x)."""
    hi, lo = x >> 64, x & MASK64
    sigma = (hi ^ lo) << 64 | hi
    return PI(sigma) ^ sigma


class Prg:

    def __init__(self, seed):
        self.permute = aes(seed[:16])
        self.nonce = int.from_bytes(seed[16:], "little")

    def block(self, position):
        return self.permute((self.nonce + position) & MASK128)

    def read(self, position, count):
        blocks = (count + 15) // 16
        return b"".join(
            self.block(position + p).to_bytes(16, "little")
            for p in range(blocks))[:count]


def bits_of(number, first, count):
    """Bits first, first - 1, ..., of which there are count."""
    return [(number >> (first - i)) & 1 for i in range(count)]


def roots(prgs, position):
    return [(prgs[b].block(position) & ~1) | b for b in (0, 1)]


def gen_tree(prgs, position, path):
    """Half-Tree, Fig. 8: correction words, both parties' leaves."""
    s = roots(prgs, position)
    delta = s[0] ^ s[1]
    words = []
    for a in path:
        h = [hash_block(x) for x in s]
        word = h[0] ^ h[1] ^ (0 if a else delta)
        words.append(word)
        s = [h[b] ^ (s[b] if a else 0) ^ (word if s[b] & 1 else 0)
             for b in (0, 1)]
    return words, s


def child(s, right, word):
    left = hash_block(s) ^ (word if s & 1 else 0)
    return left ^ s if right else left


class Tree:
    """One party's key for m > 9."""

    def __init__(self, m, root, words):
        self.m, self.words = m, words
        self.nodes = {(): root}

    def node(self, path):
        if path not in self.nodes:
            self.nodes[path] = child(
                self.node(path[:-1]), path[-1], self.words[len(path) - 1])
        return self.nodes[path]

    def leaf(self, j):
        s = self.node(tuple(bits_of(j, self.m - 1, self.m - 7)))
        return hash_block(s) ^ (self.words[-1] if s & 1 else 0)

    def bit(self, j):
        j %= 2**self.m
        return (self.leaf(j) >> (j % 128)) & 1

    def prefix(self, t):
        t %= 2**self.m
        path = tuple(bits_of(t, self.m - 1, self.m - 7))
        parity = sum(self.node(path[:i] + (0,)) & 1
                     for i in range(len(path)) if path[i])
        block = self.leaf(t) & (2**(t % 128 + 1) - 1)
        return (parity + bin(block).count("1")) % 2


class Direct:
    """One party's key for m <= 9."""

    def __init__(self, m, data):
        self.m, self.string = m, int.from_bytes(data, "little")

    def bit(self, j):
        return (self.string >> (j % 2**self.m)) & 1

    def prefix(self, t):
        return sum(self.bit(j) for j in range(t % 2**self.m + 1)) % 2


def show(name, *values):
    print(name, *(v.hex() if isinstance(v, bytes) else v for v in values))


def pseudorandom(label, count, bound=2**64):
    return [int.from_bytes(hashlib.sha256(f"{label}/{i}".encode()).digest()[:8],
                           "little") % bound for i in range(count)]


def seeds_for(label):
    return [hashlib.sha256(f"{label}/seed{b}".encode()).digest()
            for b in (0, 1)]


def table_entry(q, k):
    return ((k + 1) * 0x9E3779B97F4A7C15 + q * q * 0xD1B54A32D192ED03) & MASK64


def direct_keys(m, prgs, position, alphas):
    size = max(1, 2**m // 8)
    stream = prgs[0].read(position, size * len(alphas))
    own = [stream[i * size:(i + 1) * size] for i in range(len(alphas))]
    sent, trees = [], []
    for a, data in zip(alphas, own):
        string = int.from_bytes(data, "little") % 2**2**m ^ 1 << a
        sent.append(string.to_bytes(size, "little"))
        trees.append([Direct(m, data), Direct(m, sent[-1])])
    return [b"", b"".join(sent)], trees


def tree_keys(m, prgs, position, alphas):
    words, trees = [], []
    for i, a in enumerate(alphas):
        w, s = gen_tree(prgs, position + i, bits_of(a, m - 1, m - 7))
        w.append(hash_block(s[0]) ^ hash_block(s[1]) ^ 1 << (a % 128))
        words.append(w)
        trees.append([Tree(m, root, w) for root in roots(prgs, position + i)])
    data = b""
    for first in range(0, len(words), 64):
        group = words[first:first + 64]
        for level in range(m - 6):
            data += b"".join(w[level].to_bytes(16, "little") for w in group)
    return [data, data], trees


def dpf_case(m, count, position, length):
    label = f"dpf/{m}/{count}"
    seeds = seeds_for(label)
    prgs = [Prg(seed) for seed in seeds]
    alphas = pseudorandom(label + "/alpha", count, 2**m)
    make = direct_keys if m <= 9 else tree_keys
    keys, trees = make(m, prgs, position, alphas)
    # Near alpha, so that windows hold it: start = alpha - something small.
    starts = [(a - o) % 2**m for a, o in
              zip(alphas, pseudorandom(label + "/start", count, length + 3))]
    at = pseudorandom(label + "/at", count, 2**m)

    print("dpf")
    show("m", m)
    show("count", count)
    show("position", position)
    for b in (0, 1):
        show(f"seed{b}", seeds[b])
    show("alpha", *alphas)
    # Both parties' keys are the same if m > 9; party 0 has none otherwise.
    show("key", keys[1])
    show("positive", *(t[0].bit(a) for t, a in zip(trees, alphas)))
    show("at", *at)
    for b in (0, 1):
        show(f"prefix{b}", *(t[b].prefix(j) for t, j in zip(trees, at)))
    for b in (0, 1):
        show(f"point{b}", *(t[b].bit(j) for t, j in zip(trees, at)))
    show("length", length)
    show("start", *starts)
    for b in (0, 1):
        words, sums = [], [[], []]
        for t, start in zip(trees, starts):
            bits = [t[b].bit(start + k) for k in range(length)]
            words += [sum(bit << k for k, bit in enumerate(bits[w:w + 64]))
                      for w in range(0, length, 64)]
            for q in (0, 1):
                total = sum(table_entry(q, k)
                            for k in range(length) if bits[k])
                sums[q].append((-total if b else total) & MASK64)
        show(f"window{b}", *words)
        for q in (0, 1):
            show(f"sum{b}{q}", *sums[q])
    for t, a, j in zip(trees, alphas, at):
        assert t[0].bit(j) ^ t[1].bit(j) == (j == a)
        assert t[0].bit(a) ^ t[1].bit(a) == 1
        assert t[0].prefix(j) ^ t[1].prefix(j) == (a <= j)
    print("end")


def lanes_of(block, bits):
    return [(block >> k) & (2**bits - 1) for k in range(0, 128, bits)]


def onehot_case(m, width, count, position, size):
    label = f"onehot/{m}/{width}"
    seeds = seeds_for(label)
    prgs = [Prg(seed) for seed in seeds]
    alphas = pseudorandom(label + "/alpha", count, 2**m)
    tops = pseudorandom(label + "/top", count, 2**m)
    lane_bits = 32 if width <= 32 else 64
    lanes = 128 // lane_bits
    modulus = 2**lane_bits
    levels = max(0, m - (lanes.bit_length() - 1))
    key, out = b"", [[], []]
    for i, (a, top) in enumerate(zip(alphas, tops)):
        words, s = gen_tree(prgs, position + i, bits_of(a, m - 1, levels))
        h = [lanes_of(hash_block(x), lane_bits) for x in s]
        sign = -1 if s[1] & 1 else 1
        leaf = [sign * ((k == a % lanes) - h[0][k] + h[1][k]) % modulus
                for k in range(lanes)]
        words.append(sum(x << (lane_bits * k) for k, x in enumerate(leaf)))
        key += b"".join(w.to_bytes(16, "little") for w in words)
        for b, root in enumerate(roots(prgs, position + i)):
            tree = Tree(m, root, words)
            vector = []
            for j in range(2**m):
                s_leaf = tree.node(tuple(bits_of(j, m - 1, levels)))
                lane = lanes_of(hash_block(s_leaf), lane_bits)[j % lanes]
                if s_leaf & 1:
                    lane += leaf[j % lanes]
                vector.append((-lane if b else lane) % modulus)
            out[b] += [vector[(top - v) % 2**m] for v in range(size)]
        total = [(x + y) % 2**width for x, y in
                 zip(out[0][-size:], out[1][-size:])]
        assert total == [int((top - v) % 2**m == a) for v in range(size)]
    print("onehot")
    show("m", m)
    show("width", width)
    show("count", count)
    show("position", position)
    for b in (0, 1):
        show(f"seed{b}", seeds[b])
    show("alpha", *alphas)
    show("key", key)
    show("top", *tops)
    show("size", size)
    for b in (0, 1):
        show(f"out{b}", *(x % 2**width for x in out[b]))
    print("end")


print("tacit-fss-vectors-1")
for m, count, position, length in [
    (1, 5, 0, 2), (2, 5, 9, 3), (3, 17, 1, 7), (5, 5, 2, 32), (6, 5, 3, 50),
    (8, 5, 2**64 - 2, 160), (9, 67, 5, 384), (10, 67, 6, 129),
    (11, 3, 2**63, 384), (12, 3, 8, 160), (12, 2, 8, 4096), (16, 3, 1, 1),
    (39, 5, 10, 160), (64, 3, 11, 128)]:
    dpf_case(m, count, position, length)
for m, width, count, position, size in [
    (1, 32, 3, 0, 2), (1, 64, 3, 1, 2), (2, 7, 3, 2, 3), (3, 40, 3, 4, 8),
    (6, 32, 3, 5, 61), (7, 64, 2, 6, 128)]:
    onehot_case(m, width, count, position, size)
