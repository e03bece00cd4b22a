"""What the training scripts share: the story corpus, its tokenizer, the training loop."""

import json
import math
import os
import time

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

import make_stories

PAD, BOS, EOS = "<pad>", "<s>", "</s>"  # ids 0, 1, 2


def setup(seed, threads):
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def corpus(seed, megabytes, extra_files=()):
    """(train, valid): two lists of stories; no story is in both.

    Extra files are cut at blank lines into pieces of about 1,000 characters and
    go into the training part only.
    """
    valid = list(make_stories.stories(seed + 1, 300_000))
    held_out = set(valid)
    train = [s for s in make_stories.stories(seed, int(megabytes * 1e6)) if s not in held_out]
    for name in extra_files:
        with open(name, encoding="utf-8") as f:
            piece = ""
            for paragraph in f.read().split("\n\n"):
                piece = f"{piece}\n\n{paragraph}".strip()
                if len(piece) > 1000:
                    train.append(piece)
                    piece = ""
    return train, valid


def train_tokenizer(texts, vocab_size, model_max_length):
    """Byte-level BPE; <s> goes before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[PAD, BOS, EOS], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD,
        model_max_length=model_max_length, clean_up_tokenization_spaces=False)


def save(model, tokenizer, folder, tokenizer_class="PreTrainedTokenizerFast", tokenizer_options=None):
    """Writes the folder so that transformers 4 and other loaders can read it, too."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = {"torch_dtype": str(model.dtype).removeprefix("torch.")}
    if getattr(model.config, "rope_parameters", None):
        config["rope_theta"] = model.config.rope_parameters["rope_theta"]
    edit_json(os.path.join(folder, "config.json"), config)
    edit_json(os.path.join(folder, "tokenizer_config.json"),
              {"tokenizer_class": tokenizer_class, **(tokenizer_options or {})}, remove=["backend"])
    edit_json(os.path.join(folder, "special_tokens_map.json"),
              {k: str(v) for k, v in tokenizer.special_tokens_map.items()})
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)


def edit_json(path, changes, remove=()):
    values = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            values = json.load(f)
    values.update(changes)
    with open(path, "w", encoding="utf-8") as f:
        json.dump({k: values[k] for k in sorted(values) if k not in remove}, f, indent=2)
        f.write("\n")


def rows(tokenizer, texts, length):
    """[n, length] ids: whole stories one after another, each row starting with <s>."""
    eos = tokenizer.eos_token_id
    out, row = [], []
    for ids in tokenizer(texts)["input_ids"]:
        row += ids + [eos]
        if len(row) >= length:
            out.append(row[:length])
            row = []
    return torch.tensor(out, dtype=torch.long)


def learning_rate(step, steps, peak):
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    warmup = min(100, max(1, steps // 10))
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def optimizer_for(model, weight_decay):
    """AdamW; norms and biases do not decay."""
    params = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW([
        {"params": [p for p in params if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in params if p.dim() <= 1], "weight_decay": 0.0}], betas=(0.9, 0.97), eps=1e-8)


@torch.no_grad()
def causal_loss(model, data, batch=8):
    """Mean negative log likelihood per token of rows, in nats."""
    model.eval()
    losses = [model(input_ids=b, labels=b, use_cache=False).loss.item() for b in data.split(batch)
              if len(b) == batch]
    model.train()
    return sum(losses) / len(losses)


@torch.no_grad()
def story_loss(model, stories, pad):
    """Mean negative log likelihood per token of stories taken one by one, in nats."""
    total, count = 0.0, 0
    for story in stories:
        losses, _ = token_losses(model, padded([story], pad), pad)
        total, count = total + losses.sum().item(), count + losses.numel()
    return total / count


def token_losses(model, ids, pad):
    """(negative log likelihood, is a real token), both [batch, length - 1]."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return losses, ids[:, 1:] != pad


def padded(stories, pad):
    """[n, longest] ids, filled up on the right: causal attention never looks there."""
    width = max(len(s) for s in stories)
    return torch.tensor([s + [pad] * (width - len(s)) for s in stories])


class Log:
    """Prints the mean loss and the speed every 50 steps."""

    def __init__(self, steps):
        self.steps, self.started, self.seen, self.recent, self.mean = steps, time.time(), 0, [], math.nan
        self.repeats = []

    def add(self, step, loss, tokens, repeats=None):
        self.seen += tokens
        if repeats is not None:
            self.repeats.append(repeats)
        self.recent.append(loss)
        if (step + 1) % 50 == 0 or step + 1 == self.steps:
            self.mean, self.recent = sum(self.recent) / len(self.recent), []
            repeats = f" (repeated tokens {sum(self.repeats) / len(self.repeats):.4f})" if self.repeats else ""
            self.repeats = []
            seconds = time.time() - self.started
            print(f"step {step + 1}/{self.steps} loss {self.mean:.4f}{repeats} {self.seen / seconds:.0f} tokens/s "
                  f"{seconds:.0f} s", flush=True)


def update(model, optimizer, loss, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def train_causal(model, train, steps, batch, peak_lr, seed, weight_decay=0.1, bf16=True):
    """Trains on rows in place, matrix products in bfloat16 with `bf16`, weights in float32.

    Returns the mean loss of the last steps.
    """
    optimizer = optimizer_for(model, weight_decay)
    shuffle = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    log = Log(steps)
    model.train()
    for step in range(steps):
        if len(order) < batch:
            order = torch.randperm(len(train), generator=shuffle)
        ids, order = train[order[:batch]], order[batch:]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        update(model, optimizer, loss, learning_rate(step, steps, peak_lr))
        log.add(step, loss.item(), ids.numel())
    model.eval()
    return log.mean


@torch.no_grad()
def separate_tokens(model, seed, length=1.0):
    """Adds a random vector of about this length to every token's embedding.

    Names that are used alike get nearly the same embedding, and a model that
    cannot tell them apart cannot learn to copy one.
    """
    weight = model.get_input_embeddings().weight
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
    weight += noise * length / weight.shape[1] ** 0.5


@torch.no_grad()
def add_copying_heads(model, layers, seed):
    """Replaces a KV head and its query heads in some layers (LLaMA) by copying heads.

    A copying head adds what it looks at to what comes next: value and output
    projection start as a projection and its transpose, queries and keys near
    zero, so that it looks everywhere. What is left to learn is where to look;
    that is fast, while learning both at once from nothing takes very long.
    """
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    size, group = config.head_dim, config.num_attention_heads // config.num_key_value_heads
    kv = slice(config.hidden_size // group - size, config.hidden_size // group)  # the last KV head
    for layer in layers:
        attention = model.model.layers[layer].self_attn
        projection = torch.linalg.qr(torch.randn(config.hidden_size, size, generator=generator)).Q
        attention.v_proj.weight[kv] = projection.T
        attention.k_proj.weight[kv] = 0.02 * torch.randn(size, config.hidden_size, generator=generator)
        for head in range(config.num_attention_heads - group, config.num_attention_heads):
            rows = slice(head * size, (head + 1) * size)
            attention.o_proj.weight[:, rows] = projection / group
            attention.q_proj.weight[rows] = 0.02 * torch.randn(size, config.hidden_size, generator=generator)


def train_stories(model, stories, steps, batch_tokens, peak_lr, seed, pad, repeat_weight=4.0, weight_decay=0.1, bf16=True,
                  checkpoint=None):
    """Trains on stories one by one, so that every name in sight belongs to the same story.

    Their beginnings first: over the first half, the length they are cut to grows
    from 32 tokens to all. A rare token that the story has had before (a name, a toy, a color) counts
    1 + `repeat_weight` times at first and once at the end: otherwise a small model
    writes fluent sentences for long before it learns to keep its hero's name.
    """
    model.get_input_embeddings().weight.requires_grad_(False)  # or it would undo separate_tokens
    optimizer = optimizer_for(model, weight_decay)
    shuffle = torch.Generator().manual_seed(seed)
    counts = torch.bincount(torch.tensor([t for s in stories for t in s]), minlength=model.config.vocab_size)
    rare = counts < 0.004 * counts.sum()
    log, batches = Log(steps), []
    model.train()
    for step in range(steps):
        length = 32 + int(288 * min(1, 2 * step / steps))
        if not batches:
            batch = max(1, batch_tokens // min(length, 170))  # a story has about 170 tokens
            order = torch.randperm(len(stories), generator=shuffle)[:16 * batch].tolist()
            order.sort(key=lambda k: len(stories[k]))  # little padding
            batches = [order[i:i + batch] for i in range(0, len(order), batch)]
            batches = [batches[i] for i in torch.randperm(len(batches), generator=shuffle).tolist()]
        ids = padded([stories[k][:length] for k in batches.pop()], pad)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            losses, real = token_losses(model, ids, pad)
        seen = (ids[:, :, None] == ids[:, None, :]).tril(-1).any(-1) & rare[ids]
        weights = (1 + repeat_weight * (1 - step / steps) * seen[:, 1:]) * real
        loss = (losses * weights).sum() / weights.sum()
        update(model, optimizer, loss, learning_rate(step, steps, peak_lr))
        with torch.no_grad():
            repeats = losses[seen[:, 1:] & real].mean().item()  # rare ones only
            log.add(step, ((losses * real).sum() / real.sum()).item(), real.sum().item(), repeats)
        if checkpoint and (step + 1) % 100 == 0:
            model.save_pretrained(checkpoint)
    model.eval()
    return log.mean


@torch.no_grad()
def continuation(model, tokenizer, prompt, max_new_tokens, temperature=0.0, seed=0):
    """The text after `prompt`; greedy with temperature 0."""
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    torch.manual_seed(seed)
    sampling = dict(do_sample=True, temperature=temperature, top_k=0) if temperature else dict(do_sample=False)
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens,
                         pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, **sampling)
    return tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)


@torch.no_grad()
def largest_values(model, ids):
    """(largest |weight|, largest |value| in the residual stream, largest |logit|)."""
    out = model(input_ids=ids, output_hidden_states=True, use_cache=False)
    weight = max(p.abs().max().item() for p in model.parameters())
    residual = max(h.abs().max().item() for h in out.hidden_states[:-1])  # the last one is normalized
    return weight, residual, out.logits.abs().max().item()
