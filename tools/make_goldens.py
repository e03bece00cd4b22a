#!/usr/bin/env python3
"""Writes what transformers computes in float32 beside each model, for tests to compare with.

    python tools/make_goldens.py models/demo models/test-gpt2 models/test-bert --sst2 ../shared/data/sst2

golden.json: greedy continuations with the gap between the two best logits at
every step (judge an approximate computation with it: where the gap is tiny, two
right answers may differ), the loss on a text, or a classifier's logits.
golden_forward.safetensors: one forward pass, `input_ids` [n], `logits`
([n, vocab], classifier: [2]) and `hidden_states` [layers + 1, n, hidden]
(embeddings, then after each block; the last one after the final norm, if any).
"""

import argparse
import json
import os

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import make_stories
import train_test_models

STEPS = 64
FORWARD_TOKENS = 20
PROMPTS = [
    "Once upon a time",
    "Lily wanted a red ball",
    "One",
    "The little fox was afraid of the dark.",
    "Tom and his dog went to the beach. The sun was warm, and",
    "\"Can you help me?\" asked the bear.",
    "It was a rainy day, and Mia was at home. She wanted to go to the park. But it was raining and raining. "
    "Mia sat by the window and waited. Then her grandma came in and said,",
    "Zoë ate 3 crêpes ☂",  # bytes that the training text does not have
]
SENTENCES = [  # the last one has words that the vocabulary lacks
    "good", "a wonderful film with a warm heart .", "dull , slow and far too long .",
    "the actors do their best , but the story goes nowhere .", "one of the funniest comedies of the year !",
    "i wanted to leave after ten minutes", "it is hard not to smile .", "there is no reason to see this movie .",
    "not bad at all", "a tired copy of better films .", "beautifully shot and deeply moving .",
    "the jokes are old and the music is loud .", "it made me laugh , and then it made me cry .",
    "an awful script wastes a good cast .", "charming , clever and never boring .",
    "Zoë's 42nd crêpe documentary: unputdownable!",
]


def rounded(values):
    return [round(float(v), 6) for v in values]


@torch.no_grad()
def greedy(model, tokenizer, prompt):
    ids = tokenizer(prompt)["input_ids"]
    generated, gaps, first = [], [], None
    while len(generated) < STEPS and tokenizer.eos_token_id not in generated:
        logits = model(input_ids=torch.tensor([ids + generated]), use_cache=False).logits[0, -1]
        top = logits.topk(5)
        first = first or {"ids": top.indices.tolist(), "logits": rounded(top.values)}
        gaps.append((top.values[0] - top.values[1]).item())
        generated.append(top.indices[0].item())
    return {"prompt": prompt, "prompt_ids": ids, "first_step_top5": first, "generated_ids": generated,
            "generated_text": tokenizer.decode(generated, skip_special_tokens=True),
            "min_top1_top2_gap": round(min(gaps), 6), "top1_top2_gap_per_step": rounded(gaps)}


@torch.no_grad()
def loss_on_stories(model, tokenizer, limit):
    """Stories that were not trained on, scored one by one."""
    texts = list(make_stories.stories(seed=20_000, total_bytes=6_000))
    total, count = 0.0, 0
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")["input_ids"]
        total += model(input_ids=ids, labels=ids, use_cache=False).loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    return {"texts": texts, "scored_apart": f"each text's first {limit} tokens, all but the first one scored",
            "tokens_scored": count, "nats_per_token": round(total / count, 6)}


@torch.no_grad()
def forward(model, ids, folder):
    out = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    save_file({"input_ids": torch.tensor(ids), "logits": out.logits[0].contiguous(),
               "hidden_states": torch.cat(out.hidden_states).contiguous()},
              os.path.join(folder, "golden_forward.safetensors"))
    os.chmod(os.path.join(folder, "golden_forward.safetensors"), 0o644)


@torch.no_grad()
def classify(model, tokenizer, text):
    return rounded(model(**tokenizer(text, return_tensors="pt", truncation=True)).logits[0])


def language_model(folder, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = tokenizer(" ".join(PROMPTS[4:7]))["input_ids"]
    forward(model, ids[:FORWARD_TOKENS], folder)
    return {"decoding": f"greedy (argmax), float32, no cache; stop at the end token or after {STEPS} new tokens",
            "generations": [greedy(model, tokenizer, p) for p in PROMPTS],
            "loss": loss_on_stories(model, tokenizer, min(256, model.config.max_position_embeddings))}


def classifier(folder, tokenizer, sst2):
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    dev = train_test_models.read_labelled(os.path.join(sst2, "dev.tsv"))
    forward(model, tokenizer(SENTENCES[11])["input_ids"], folder)
    return {"decoding": "float32, one sentence at a time, no padding",
            "sentences": [{"text": s, "ids": tokenizer(s)["input_ids"], "logits": classify(model, tokenizer, s)}
                          for s in SENTENCES],
            # SST-2's own sentences are not repeated here: index 0 is the line after the header
            "sst2_dev": [{"index": i, "label": dev[i][1], "logits": classify(model, tokenizer, dev[i][0])}
                         for i in range(32)],
            "sst2_dev_accuracy": round(train_test_models.accuracy(model, tokenizer, dev), 6)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--sst2", default="../shared/data/sst2")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for folder in args.folders:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            is_classifier = "Classification" in json.load(f)["architectures"][0]
        golden = {"made_with": f"tools/make_goldens.py, transformers {transformers.__version__}, "
                               f"torch {torch.__version__.split('+')[0]}, CPU"}
        golden |= classifier(folder, tokenizer, args.sst2) if is_classifier else language_model(folder, tokenizer)
        with open(os.path.join(folder, "golden.json"), "w", encoding="utf-8") as f:
            json.dump(golden, f, ensure_ascii=False, indent=1)
            f.write("\n")
        print(f"wrote {folder}/golden.json")


if __name__ == "__main__":
    main()
