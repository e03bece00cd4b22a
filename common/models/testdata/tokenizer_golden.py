#!/usr/bin/env python3
"""Writes tokenizer_golden.json: digests of token ids over 12,000 strings.

    python3 tokenizer_golden.py DATA >tokenizer_golden.json   # needs transformers 5

DATA is the folder with tokenizers/ and text/. For every tokenizer and source
of strings: a hash of the ids of all strings, with special tokens in the text
taken as such ("parsed") and as text ("plain"), and of the decoded texts.
tokenizer_test.cc makes the same strings and hashes; `--show NAME SOURCE N`
prints the ids of string N, to find where they part.
"""
import json
import sys

import transformers
from transformers import AutoTokenizer

MASK = (1 << 64) - 1
LINES = 2500
RANDOM = 2000
SOURCES = ["text/wikitext-2/valid.txt", "text/tinyshakespeare.txt",
           "text/tinystories_sample.txt", "text/lambada_test.jsonl", "random"]
TOKENIZERS = ["tokenizers/gpt2", "tokenizers/bert-base-uncased",
              "tokenizers/llama-32k", "stories260K"]
# Where random characters come from: ASCII, Latin, Greek to Arabic, Devanagari,
# punctuation, CJK, Hangul, compatibility forms, emoji.
RANGES = [(0x20, 0x7f), (0x20, 0x7f), (0xa0, 0x250), (0x370, 0x600),
          (0x900, 0x980), (0x2000, 0x2070), (0x4e00, 0x5000),
          (0xac00, 0xad00), (0xff00, 0xff60), (0x1f600, 0x1f650), (0x09, 0x0e)]
SPELLED = ["<s>", "</s>", "<unk>", "[CLS]", "[SEP]", "<|endoftext|>", "<0x0A>",
           "\u2581", "  ", "\r\n", "e\u0301", "\u00ad"]


class Random:
    """Knuth's MMIX generator."""

    def __init__(self):
        self.state = 1

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & MASK
        return (self.state >> 33) % n


def random_strings():
    rng = Random()
    for _ in range(RANDOM):
        parts = []
        for _ in range(rng.below(40)):
            low, high = RANGES[rng.below(len(RANGES))]
            for _ in range(1 + rng.below(6)):
                parts.append(chr(low + rng.below(high - low)))
            if rng.below(8) == 0:
                parts.append(SPELLED[rng.below(len(SPELLED))])
        yield "".join(parts)


def strings(data, source):
    if source == "random":
        return list(random_strings())
    with open(f"{data}/{source}", "rb") as file:
        return [line.decode() for line in file.read().split(b"\n")[:LINES]]


class Hash:
    """64-bit FNV-1a over little-endian words of 32 bits, or bytes."""

    def __init__(self):
        self.value = 0xcbf29ce484222325

    def add(self, data):
        for byte in data:
            self.value = ((self.value ^ byte) * 0x100000001b3) & MASK

    def ids(self, ids):
        for value in [len(ids), *ids]:
            self.add(value.to_bytes(4, "little"))

    def hex(self):
        return f"{self.value:016x}"


def main():
    data = sys.argv[1]
    show = sys.argv[3:6] if len(sys.argv) > 2 else None
    digests = []
    for name in TOKENIZERS:
        tokenizer = AutoTokenizer.from_pretrained(f"{data}/{name}")
        for source in SOURCES:
            parsed, plain, decoded = Hash(), Hash(), Hash()
            for number, text in enumerate(strings(data, source)):
                ids = tokenizer(text)["input_ids"]
                ids_plain = tokenizer(text, split_special_tokens=True)["input_ids"]
                back = tokenizer.decode(ids_plain, skip_special_tokens=True,
                                        clean_up_tokenization_spaces=False)
                if show == [name, source, str(number)]:
                    print(repr(text), ids, ids_plain, repr(back), file=sys.stderr)
                parsed.ids(ids)
                plain.ids(ids_plain)
                decoded.add(back.encode())
            digests.append({"tokenizer": name, "source": source,
                            "parsed": parsed.hex(), "plain": plain.hex(),
                            "decoded": decoded.hex()})
    print(json.dumps({"made_with": f"transformers {transformers.__version__}",
                      "lines": LINES, "digests": digests}, indent=1))


main()
