#!/usr/bin/env python3
"""Writes rope_golden.json: rotary frequencies as transformers computes them.

    python3 rope_golden.py >rope_golden.json      # needs transformers 5, torch

config_test.cc parses each case's `config` and compares `inv_freq` (float32)
and `attention_factor`.
"""
import json

import torch
import transformers
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

BASE = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama",
    "vocab_size": 32, "hidden_size": 256, "intermediate_size": 64,
    "num_hidden_layers": 1, "num_attention_heads": 4,
    "max_position_embeddings": 4096,
}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 2048}

# Name, what differs from BASE, sequence length (0: not given).
CASES = [
    ("default", {}, 0),
    ("theta", {"rope_theta": 500000.0, "head_dim": 128}, 0),
    ("theta_in_rope_parameters",
     {"rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}}, 0),
    ("linear_old_spelling", {"rope_scaling": {"type": "linear", "factor": 2.5}}, 0),
    ("linear", {"rope_parameters": {"rope_type": "linear", "factor": 4,
                                    "rope_theta": 10000.0}}, 0),
    ("dynamic_short", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, 100),
    ("dynamic_long", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, 10000),
    ("llama3", {"rope_theta": 500000.0, "head_dim": 128,
                "rope_scaling": {"rope_type": "llama3", **LLAMA3}}, 0),
    ("llama3_new_spelling",
     {"rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0,
                          **LLAMA3, "factor": 32.0}}, 0),
    ("yarn", {"rope_scaling": {"type": "yarn", "factor": 4.0,
                               "original_max_position_embeddings": 1024}}, 0),
    ("yarn_without_original_length",
     {"rope_parameters": {"rope_type": "yarn", "factor": 2.0,
                          "rope_theta": 1000000.0}}, 0),
    ("yarn_betas", {"rope_scaling": {
        "rope_type": "yarn", "factor": 8.0, "beta_fast": 16, "beta_slow": 2,
        "original_max_position_embeddings": 512, "truncate": False}}, 0),
    ("yarn_mscale", {"rope_scaling": {
        "rope_type": "yarn", "factor": 40.0, "mscale": 0.707,
        "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096}}, 0),
    ("yarn_attention_factor", {"rope_scaling": {
        "rope_type": "yarn", "factor": 4.0, "attention_factor": 0.75,
        "original_max_position_embeddings": 1024}}, 0),
]


def main():
    cases = []
    for name, changes, length in CASES:
        text = {**BASE, **changes}
        config = LlamaConfig(**json.loads(json.dumps(text)))
        kind = config.rope_parameters["rope_type"]
        if kind == "default":
            inv_freq, factor = LlamaRotaryEmbedding.compute_default_rope_parameters(config)
        else:
            inv_freq, factor = ROPE_INIT_FUNCTIONS[kind](config, "cpu", length or None)
        assert inv_freq.dtype == torch.float32
        cases.append({"name": name, "config": text, "sequence_length": length,
                      "inv_freq": inv_freq.tolist(), "attention_factor": factor})
    print(json.dumps({"made_with": f"transformers {transformers.__version__}, "
                                   f"torch {torch.__version__}", "cases": cases},
                     indent=1))


main()
