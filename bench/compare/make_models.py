"""Models with random weights of known shapes for generation.py, and the same weights as GGUF and for CTranslate2.

    python make_models.py MODELS [NAME...]
"""

import sys
from pathlib import Path

import torch
import transformers
from safetensors import safe_open

SHAPES = {
    "gpt2": (lambda: transformers.GPT2Config(), transformers.GPT2LMHeadModel, torch.float32),
    "gpt2-bf16": (lambda: transformers.GPT2Config(), transformers.GPT2LMHeadModel, torch.bfloat16),
    "llama-1b": (
        lambda: transformers.LlamaConfig(
            hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
            intermediate_size=8192, vocab_size=128256, tie_word_embeddings=True, max_position_embeddings=8192,
            rope_theta=500000.0, rms_norm_eps=1e-5, bos_token_id=128000, eos_token_id=128001),
        transformers.LlamaForCausalLM, torch.bfloat16),
    "t5-small": (lambda: transformers.T5Config(decoder_start_token_id=0), transformers.T5ForConditionalGeneration,
                 torch.float32),
    "bart-base": (
        lambda: transformers.BartConfig(
            d_model=768, encoder_layers=6, decoder_layers=6, encoder_attention_heads=12, decoder_attention_heads=12,
            encoder_ffn_dim=3072, decoder_ffn_dim=3072),
        transformers.BartForConditionalGeneration, torch.float32),
}


class Names:
    """A tokenizer as the converters of CTranslate2 use one: token i is named ti."""

    def __init__(self, count: int):
        self.vocabulary = {f"t{i}": i for i in range(count)}
        self.bos_token = self.eos_token = self.pad_token = self.unk_token = "t0"
        self.bos_token_id = self.eos_token_id = self.pad_token_id = self.unk_token_id = 0
        self.additional_special_tokens = []

    def get_vocab(self):
        return self.vocabulary

    def convert_ids_to_tokens(self, index):
        return [f"t{i}" for i in index] if isinstance(index, list) else f"t{index}"


def to_ctranslate2(folder: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    vocabulary = transformers.AutoConfig.from_pretrained(folder).vocab_size

    # Its loader of BART reads what newer configs leave out.
    for key in ("normalize_before", "normalize_embedding", "add_bias_logits", "add_final_layer_norm"):
        if not hasattr(transformers.BartConfig, key):
            setattr(transformers.BartConfig, key, key == "normalize_embedding")

    class Converter(TransformersConverter):
        def load_tokenizer(self, tokenizer_class, name, **arguments):
            return Names(vocabulary)

    Converter(str(folder), load_as_float16=False).convert(f"{folder}-ct2", force=True)


GPT2_NAMES = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
              "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
LLAMA_NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
               "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
               "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
OUTER = {"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm",
         "model.embed_tokens": "token_embd", "model.norm": "output_norm"}


def gguf_name(name: str) -> str:
    stem, kind = name.rsplit(".", 1)
    if stem in OUTER:
        return f"{OUTER[stem]}.{kind}"
    parts = stem.split(".")  # transformer.h.0.attn.c_attn, model.layers.0.mlp.up_proj
    inner = ".".join(parts[3:])
    return f"blk.{parts[2]}.{(GPT2_NAMES if parts[0] == 'transformer' else LLAMA_NAMES)[inner]}.{kind}"


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp turns neighbours of a head, the reference its halves."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).transpose(1, 2).reshape(weight.shape)


def to_gguf(folder: Path) -> None:
    import gguf

    config = transformers.AutoConfig.from_pretrained(folder)
    gpt2 = config.model_type == "gpt2"
    writer = gguf.GGUFWriter(f"{folder}.gguf", config.model_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(4 * config.hidden_size if gpt2 else config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    if gpt2:
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(500000.0)
        writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    with safe_open(folder / "model.safetensors", "pt") as file:
        for name in file.keys():
            tensor = file.get_tensor(name)
            if gpt2 and ".c_" in name and name.endswith("weight"):
                tensor = tensor.T.contiguous()
            if ".q_proj." in name:
                tensor = interleaved(tensor, config.num_attention_heads)
            if ".k_proj." in name:
                tensor = interleaved(tensor, config.num_key_value_heads)
            if tensor.ndim == 1 or tensor.dtype == torch.float32:
                writer.add_tensor(gguf_name(name), tensor.float().numpy())
            else:
                raw = tensor.contiguous().view(torch.uint8).numpy()
                writer.add_tensor(gguf_name(name), raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    target = Path(sys.argv[1])
    for name in sys.argv[2:] or SHAPES:
        config, kind, dtype = SHAPES[name]
        folder = target / name
        torch.manual_seed(0)
        if not folder.exists():
            torch.set_default_dtype(dtype)
            kind(config()).save_pretrained(folder)
            torch.set_default_dtype(torch.float32)
        for convert in (to_ctranslate2, to_gguf):
            if convert is to_gguf and not name.startswith(("gpt2", "llama")):
                continue
            try:
                convert(folder)
            except Exception as error:
                print(f"{name}: {convert.__name__}: {type(error).__name__}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
