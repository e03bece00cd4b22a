#!/usr/bin/env python3
"""Trains the test models: a small GPT-2 on generated stories, a small BERT on SST-2.

    python tools/train_test_models.py gpt2 --out models/test-gpt2
    python tools/train_test_models.py bert --out models/test-bert --sst2 ../shared/data/sst2

They exist so that tests have real, trained weights of these architectures.
Seeded: the same arguments on the same machine give the same model.
"""

import argparse
import os
import time

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel,
                          PreTrainedTokenizerFast)

import training

GPT2_CONTEXT = 256
GPT2_VOCAB = 768
BERT_CONTEXT = 128
BERT_VOCAB = 4096
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]  # ids 0 to 4

GPT2_CARD = """---
license: apache-2.0
language: en
pipeline_tag: text-generation
---

# Tacit test model: GPT-2 architecture

For tests only. `GPT2LMHeadModel`: hidden {hidden}, {layers} layers, {heads} heads, gelu_new,
learned positions up to {context}, tied head; {parameters:,} parameters, float32.
Byte-level BPE of {vocab} tokens in both forms (tokenizer.json; vocab.json and
merges.txt); `<|endoftext|>` (0) ends a story, nothing is put before a prompt.

Data: {megabytes:g} MB of stories made by `tools/make_stories.py`, seed {seed}.
Training: `python tools/train_test_models.py gpt2 --steps {steps}`: {steps} steps of
{batch} x {context} tokens, AdamW, cosine schedule, one CPU core. Loss in nats per
token: training {train_loss:.4f} (last 50 steps), held-out stories {valid_loss:.4f}.
Largest values: weight {weight:.1f}, residual stream {residual:.1f}, logit {logit:.1f}.

Greedy sample:

{sample}

License: Apache License 2.0.
"""

BERT_CARD = """---
license: apache-2.0
language: en
pipeline_tag: text-classification
---

# Tacit test model: BERT architecture

For tests only. `BertForSequenceClassification`, the shape of BERT-tiny: hidden {hidden},
{layers} layers, {heads} heads, MLP {mlp}, gelu, positions up to {context};
{parameters:,} parameters, bfloat16. Labels: 0 negative, 1 positive. WordPiece,
lower case, {vocab} tokens (tokenizer.json and vocab.txt).

Data: the 6,920 labelled training sentences of SST-2, from random weights, with no
other text. SST-2 is given for research use and is not part of this folder.
Training: `python tools/train_test_models.py bert --steps {steps}`: {steps} steps of
{batch} sentences, AdamW, cosine schedule, dropout {dropout}, seed {seed}, one CPU core.

| sentences | accuracy |
|---|---|
| SST-2 dev (872) | {dev:.4f} (float32 before rounding: {dev_f32:.4f}) |
| SST-2 test (1,821) | {test:.4f} |

Steps and rates were not chosen on the test sentences. Larger pretrained models
reach 0.9 and more: use one of those for anything but tests.

License of weights and tokenizer: Apache License 2.0.
"""


# ------------------------------------------------------------------------ GPT-2


def gpt2_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=GPT2_VOCAB, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>",
        pad_token="<|endoftext|>", model_max_length=GPT2_CONTEXT, clean_up_tokenization_spaces=False)


def train_gpt2(args):
    steps, batch = args.steps or 1000, 8
    train, valid = training.corpus(args.seed, args.megabytes)
    tokenizer = gpt2_tokenizer(train)
    train_rows = training.rows(tokenizer, train, GPT2_CONTEXT)
    valid_rows = training.rows(tokenizer, valid, GPT2_CONTEXT)
    model = GPT2LMHeadModel(GPT2Config(
        vocab_size=len(tokenizer), n_positions=GPT2_CONTEXT, n_embd=96, n_layer=4, n_head=3,
        activation_function="gelu_new", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=0, eos_token_id=0, pad_token_id=0))
    print(f"{model.num_parameters()} parameters, {train_rows.numel()} tokens", flush=True)
    train_loss = training.train_causal(model, train_rows, steps, batch, args.lr or 3e-3,
                                       args.seed, bf16=not args.float32)
    training.save(model, tokenizer, args.out, "GPT2Tokenizer")
    tokenizer.backend_tokenizer.model.save(args.out)  # vocab.json, merges.txt

    weight, residual, logit = training.largest_values(model, valid_rows[:16])
    prompt = "Once upon a time"
    sample = prompt + training.continuation(model, tokenizer, prompt, 200)
    return GPT2_CARD.format(
        hidden=model.config.n_embd, layers=model.config.n_layer, heads=model.config.n_head, context=GPT2_CONTEXT,
        parameters=model.num_parameters(), vocab=len(tokenizer), megabytes=args.megabytes, seed=args.seed,
        steps=steps, batch=batch, train_loss=train_loss, valid_loss=training.causal_loss(model, valid_rows),
        weight=weight, residual=residual, logit=logit,
        sample="\n".join(f"> {line}".rstrip() for line in sample.split("\n")))


# ------------------------------------------------------------------------- BERT


def read_labelled(path):
    """[(sentence, label)]; a header line is skipped. Quotes are ordinary characters."""
    with open(path, encoding="utf-8") as f:
        fields = [line.rstrip("\n").split("\t") for line in f]
    return [(sentence.strip(), int(label)) for sentence, label in fields if label != "label"]


def bert_tokenizer(texts):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(
        vocab_size=BERT_VOCAB, special_tokens=BERT_SPECIAL, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=BERT_CONTEXT, clean_up_tokenization_spaces=False)


@torch.no_grad()
def accuracy(model, tokenizer, data):
    model.eval()
    right = 0
    for i in range(0, len(data), 64):
        part = data[i:i + 64]
        inputs = tokenizer([s for s, _ in part], padding=True, truncation=True, return_tensors="pt")
        right += (model(**inputs).logits.argmax(-1) == torch.tensor([y for _, y in part])).sum().item()
    return right / len(data)


def epoch(data, batch, generator):
    """Batches in random order; sentences of about the same length together."""
    order = torch.randperm(len(data), generator=generator).tolist()
    groups = [sorted(order[i:i + 16 * batch], key=lambda k: len(data[k][0]))
              for i in range(0, len(order), 16 * batch)]
    batches = [g[i:i + batch] for g in groups for i in range(0, len(g), batch)]
    for k in torch.randperm(len(batches), generator=generator).tolist():
        yield [data[j] for j in batches[k]]


def train_bert(args):
    steps, batch, dropout = args.steps or 1500, 32, 0.2
    train = read_labelled(os.path.join(args.sst2, "train_sentences.tsv"))
    dev = read_labelled(os.path.join(args.sst2, "dev.tsv"))
    test = read_labelled(os.path.join(args.sst2, "test_sentences.tsv"))
    tokenizer = bert_tokenizer([s for s, _ in train])
    model = BertForSequenceClassification(BertConfig(
        vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=512, max_position_embeddings=BERT_CONTEXT, hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout, num_labels=2,
        id2label={0: "negative", 1: "positive"}, label2id={"negative": 0, "positive": 1}))
    print(f"{model.num_parameters()} parameters", flush=True)

    optimizer = training.optimizer_for(model, 0.1)
    generator = torch.Generator().manual_seed(args.seed)
    batches, started, recent = iter(()), time.time(), []
    for step in range(steps):
        part = next(batches, None)
        if part is None:
            batches = epoch(train, batch, generator)
            part = next(batches)
        inputs = tokenizer([s for s, _ in part], padding=True, truncation=True, return_tensors="pt")
        ids = inputs["input_ids"]
        hidden = (torch.rand(ids.shape, generator=generator) < 0.15) & (ids > 4)  # some words become [UNK]
        inputs["input_ids"] = ids.masked_fill(hidden, tokenizer.unk_token_id)
        model.train()
        logits = model(**inputs).logits
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([y for _, y in part]), label_smoothing=0.1)
        training.update(model, optimizer, loss, training.learning_rate(step, steps, args.lr or 5e-4))
        recent.append(loss.item())
        if (step + 1) % 200 == 0 or step + 1 == steps:
            print(f"step {step + 1}/{steps} loss {sum(recent) / len(recent):.4f} "
                  f"dev {accuracy(model, tokenizer, dev):.4f} {time.time() - started:.0f} s", flush=True)
            recent = []

    dev_f32 = accuracy(model, tokenizer, dev)
    model.to(torch.bfloat16)
    training.save(model, tokenizer, args.out, "BertTokenizer", {"do_lower_case": True})
    with open(os.path.join(args.out, "vocab.txt"), "w", encoding="utf-8") as f:
        f.writelines(token + "\n" for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda kv: kv[1]))
    model.to(torch.float32)
    return BERT_CARD.format(
        hidden=128, layers=2, heads=2, mlp=512, context=BERT_CONTEXT, parameters=model.num_parameters(),
        vocab=len(tokenizer), steps=steps, batch=batch, dropout=dropout, seed=args.seed, dev_f32=dev_f32,
        dev=accuracy(model, tokenizer, dev), test=accuracy(model, tokenizer, test))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", choices=["gpt2", "bert"])
    parser.add_argument("--out", help="default: models/test-MODEL")
    parser.add_argument("--steps", type=int, help="default: 1000 for gpt2, 1500 for bert")
    parser.add_argument("--lr", type=float)
    parser.add_argument("--megabytes", type=float, default=8, help="gpt2: size of the generated corpus")
    parser.add_argument("--sst2", default="../shared/data/sst2", help="bert: folder of the SST-2 files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--float32", action="store_true", help="gpt2: no bfloat16 products")
    args = parser.parse_args()
    args.out = args.out or f"models/test-{args.model}"
    training.setup(args.seed, args.threads)
    card = train_gpt2(args) if args.model == "gpt2" else train_bert(args)
    with open(os.path.join(args.out, "README.md"), "w", encoding="utf-8") as f:
        f.write(card)
    print(card)


if __name__ == "__main__":
    main()
