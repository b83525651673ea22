"""Writes tests/data/models/bert-torch: a small BERT with random weights, saved as pytorch_model.bin only, and the
reference's (PyTorch with transformers, float32) mean of its last hidden state for a text.

    python tests/tensor/tools/make_torch_bert.py tests/data/models/bert-torch
"""

import json
import os
import sys

import torch
from transformers import BertConfig, BertModel, BertTokenizer

folder = sys.argv[1]
words = "[PAD] [UNK] [CLS] [SEP] [MASK] i love machine learning ##s we expert in ai".split()
with open(os.path.join(folder, "vocab.txt"), "w") as file:
    file.write("\n".join(words) + "\n")
with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
    json.dump({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 16}, file, indent=2)

torch.manual_seed(5)
config = BertConfig(vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
                    max_position_embeddings=16, initializer_range=0.5, architectures=["BertModel"])
model = BertModel(config).eval()
config.save_pretrained(folder)
torch.save(model.state_dict(), os.path.join(folder, "pytorch_model.bin"))

texts = ["I love machine learning", "we love experts"]
tokenizer = BertTokenizer(os.path.join(folder, "vocab.txt"))
with torch.no_grad():
    embeddings = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0).tolist() for text in texts]
with open(os.path.join(folder, "expected.json"), "w") as file:
    json.dump([{"text": text, "embedding": each} for text, each in zip(texts, embeddings)], file, indent=2)
    file.write("\n")
