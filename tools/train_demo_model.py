#!/usr/bin/env python3
"""Trains the demo model: LLaMA architecture, 1.2 million parameters, children's stories.

    python tools/train_demo_model.py --out models/demo

Everything is seeded: the same arguments on the same machine give the same
model. The text comes from make_stories.py; --extra-text adds files to it.
"""

import argparse
import os

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import training

CONTEXT = 512
VOCAB = 1024
PROMPTS = ["Once upon a time", "Lily wanted a red ball", "The little fox was afraid of the dark."]

CARD = """---
license: apache-2.0
language: en
pipeline_tag: text-generation
---

# Tacit demo model

Writes short children's stories in simple English. It is small enough to run
privately on a laptop and is meant for nothing else: it knows no facts, follows
no instructions, and away from such stories it writes nonsense.

| | |
|---|---|
| architecture | `LlamaForCausalLM`: hidden {hidden_size}, {num_hidden_layers} layers, {num_attention_heads} heads, {num_key_value_heads} KV heads, head_dim {head_dim}, SwiGLU MLP {intermediate_size}, RMSNorm, RoPE theta {rope_theta:.0f}, tied embeddings |
| parameters | {parameters:,} |
| weights | float16 safetensors |
| context | {context} tokens |
| tokenizer | byte-level BPE, {vocab_size} tokens; `<s>` (1) goes before every text, `</s>` (2) ends it |
| largest values | weight {weight:.1f}, residual stream {residual:.1f}, logit {logit:.1f} (on {probe} held-out tokens) |

## Data

{megabytes:g} MB of stories made by `tools/make_stories.py` (seed {seed}){extra}: every
sentence comes from the templates in that file. Names, problems, dialogues and
endings are drawn at random and stay the same within a story.

## Training

```
python tools/train_demo_model.py{flags}
```

1. {steps} steps of {batch} x {context} tokens ({tokens:.1f} million), stories one after
   another, peak learning rate {lr:g};
2. {story_steps} steps of about {story_batch} tokens, each story on its own, peak learning rate
   {story_lr:g}; tokens that a story repeats (names, toys) count more at first.

AdamW, cosine schedules, weight decay 0.1, gradient clipping at 1.0, {precision};
one CPU core.

| loss in nats per token | |
|---|---|
| training, last 50 steps | {train_loss:.4f} |
| held-out stories | {valid_loss:.4f} (float16 weights: {valid_loss_f16:.4f}) |

The held-out stories come from the same templates with another seed, so their
loss says how well the grammar was learned, not how well the model writes English.

## Samples

{samples}

## License

Weights, tokenizer and generated text: Apache License 2.0.
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="models/demo")
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--batch", type=int, default=4, help="rows of 512 tokens")
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--story-steps", type=int, default=1350, help="second part: stories one by one")
    parser.add_argument("--story-batch", type=int, default=2048, help="tokens")
    parser.add_argument("--story-lr", type=float, default=2e-3)
    parser.add_argument("--init", metavar="FOLDER", help="skip the first part: start with its result")
    parser.add_argument("--checkpoint", metavar="FOLDER", help="write the weights here now and then")
    parser.add_argument("--megabytes", type=float, default=24, help="size of the generated corpus")
    parser.add_argument("--extra-text", action="append", default=[], metavar="FILE")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--float32", action="store_true", help="no bfloat16 products (slower on recent CPUs)")
    return parser.parse_args()


def config(tokenizer):
    return LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=352, num_hidden_layers=6,
        num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def samples(model, tokenizer):
    parts = []
    for prompt in PROMPTS:
        for name, temperature in [("greedy", 0.0), ("temperature 0.8", 0.8)]:
            text = training.continuation(model, tokenizer, prompt, 300, temperature, seed=1)
            quoted = "\n".join(f"> {line}".rstrip() for line in f"**{prompt}**{text}".split("\n"))
            parts.append(f"{name[0].upper()}{name[1:]}:\n\n{quoted}")
    return "\n\n".join(parts)


def main():
    args = arguments()
    training.setup(args.seed, args.threads)
    train, valid = training.corpus(args.seed, args.megabytes, args.extra_text)
    tokenizer = training.train_tokenizer(train[:20000], VOCAB, CONTEXT)
    train_rows = training.rows(tokenizer, train, CONTEXT)
    valid_rows = training.rows(tokenizer, valid, CONTEXT)
    model = LlamaForCausalLM(config(tokenizer))
    print(f"{model.num_parameters()} parameters, {len(train)} stories, {train_rows.numel()} tokens", flush=True)
    if args.init:
        model = LlamaForCausalLM.from_pretrained(args.init, dtype=torch.float32)
    else:
        training.train_causal(model, train_rows, args.steps, args.batch, args.lr, args.seed, bf16=not args.float32)
        model.to(torch.float16).save_pretrained(args.out)  # --init goes on from here
        model.to(torch.float32)
    training.separate_tokens(model, args.seed)
    training.add_copying_heads(model, layers=(3, 4), seed=args.seed)
    ids = [s + [tokenizer.eos_token_id] for s in tokenizer(train)["input_ids"]]
    valid_ids = [s + [tokenizer.eos_token_id] for s in tokenizer(valid)["input_ids"]]
    train_loss = training.train_stories(model, ids, args.story_steps, args.story_batch, args.story_lr,
                                        args.seed + 1, tokenizer.pad_token_id, bf16=not args.float32,
                                        checkpoint=args.checkpoint)

    valid_loss = training.story_loss(model, valid_ids, tokenizer.pad_token_id)
    model.to(torch.float16)
    model.generation_config.update(bos_token_id=1, eos_token_id=2, pad_token_id=0, max_new_tokens=300)
    training.save(model, tokenizer, args.out)

    model = LlamaForCausalLM.from_pretrained(args.out, dtype=torch.float32).eval()
    weight, residual, logit = training.largest_values(model, valid_rows[:16])
    flags = "".join(f" --{k.replace('_', '-')} {getattr(args, k)}" for k in (
        "steps", "batch", "lr", "story_steps", "story_batch", "story_lr", "megabytes", "seed"))
    shape = {k: getattr(model.config, k) for k in (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
        "intermediate_size", "vocab_size")}
    card = CARD.format(
        **shape, rope_theta=10000, parameters=model.num_parameters(), context=CONTEXT, weight=weight, residual=residual,
        logit=logit, probe=16 * CONTEXT, megabytes=args.megabytes, seed=args.seed, flags=flags,
        extra="".join(f" and {os.path.basename(f)}" for f in args.extra_text), steps=args.steps, batch=args.batch,
        tokens=args.steps * args.batch * CONTEXT / 1e6, lr=args.lr,
        story_steps=args.story_steps, story_batch=args.story_batch, story_lr=args.story_lr,
        precision="float32" if args.float32 else "bfloat16 matrix products with float32 weights",
        train_loss=train_loss, valid_loss=valid_loss, valid_loss_f16=training.story_loss(model, valid_ids, tokenizer.pad_token_id),
        samples=samples(model, tokenizer))
    with open(os.path.join(args.out, "README.md"), "w", encoding="utf-8") as f:
        f.write(card)
    print(card)


if __name__ == "__main__":
    main()
