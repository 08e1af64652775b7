"""Language models of the `transformers` library, of one or two layers."""

from typing import Any

import torch
import transformers
from gossamer.tests.models.sample import Sample, model
from torch.export import Dim

BATCH, LENGTH, WORDS = 2, 16, 128
COMMON = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
TWO = {"num_hidden_layers": 2}
LLAMA = COMMON | {"num_key_value_heads": 2}


def words(length: int = LENGTH) -> torch.Tensor:
    return torch.randint(2, WORDS, (BATCH, length))


def network(name: str, config: str, **sizes: Any) -> torch.nn.Module:
    """The class `name` of transformers with random weights, in eval mode."""
    return getattr(transformers, name)(getattr(transformers, config)(**sizes)).eval()


def text(net: torch.nn.Module, length: int = LENGTH, dynamic: bool = True, **more: torch.Tensor) -> Sample:
    """`net` reading words, the second sequence padded; batch and length are dynamic."""
    mask = torch.ones(BATCH, length, dtype=torch.long)
    mask[1, length // 2 :] = 0
    kwargs = {"input_ids": words(length), "attention_mask": mask, **more}
    return Sample(net, (), kwargs, {key: {0: Dim.DYNAMIC, 1: Dim.DYNAMIC} for key in kwargs} if dynamic else None)


@model("BERT")
def bert() -> Sample:
    return text(network("BertModel", "BertConfig", **COMMON | TWO))


@model("BERT masked LM")
def bert_masked_lm() -> Sample:
    """Its output layer is tied to its embedding."""
    return text(network("BertForMaskedLM", "BertConfig", **COMMON))


@model("DistilBERT")
def distilbert() -> Sample:
    return text(
        network("DistilBertModel", "DistilBertConfig", vocab_size=WORDS, dim=64, hidden_dim=128, n_layers=1, n_heads=4)
    )


GPT2 = {"vocab_size": WORDS, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64}


@model("GPT-2")
def gpt2() -> Sample:
    return text(network("GPT2LMHeadModel", "GPT2Config", **GPT2, use_cache=False))


@model("GPT-2 with cache")
def gpt2_cache() -> Sample:
    return text(network("GPT2LMHeadModel", "GPT2Config", **GPT2, use_cache=True))


@model("OPT")
def opt() -> Sample:
    sizes = {key: value for key, value in COMMON.items() if key != "intermediate_size"}
    return text(network("OPTForCausalLM", "OPTConfig", **sizes, ffn_dim=128, word_embed_proj_dim=64, use_cache=False))


T5 = {"vocab_size": WORDS, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 1, "num_heads": 4}


@model("T5")
def t5() -> Sample:
    net = network("T5ForConditionalGeneration", "T5Config", **T5, use_cache=False)
    return text(net, decoder_input_ids=words(12))


@model("T5 encoder")
def t5_encoder() -> Sample:
    return text(network("T5EncoderModel", "T5Config", **T5))


@model("Llama")
def llama() -> Sample:
    return text(network("LlamaForCausalLM", "LlamaConfig", **LLAMA | TWO, use_cache=False))


@model("Llama with ReLU")
def llama_relu() -> Sample:
    return text(network("LlamaForCausalLM", "LlamaConfig", **LLAMA, hidden_act="relu", use_cache=False))


@model("Llama with cache")
def llama_cache() -> Sample:
    return text(network("LlamaForCausalLM", "LlamaConfig", **LLAMA, use_cache=True))


@model("Llama, one step with cache")
def llama_step() -> Sample:
    net = network("LlamaForCausalLM", "LlamaConfig", **LLAMA, use_cache=True)
    past = net(words(8)).past_key_values
    for layer in past.layers:
        layer.keys, layer.values = layer.keys.detach(), layer.values.detach()
    return Sample(net, (), {"input_ids": words(1), "past_key_values": past, "use_cache": True})


@model("Llama in bfloat16")
def llama_bfloat16() -> Sample:
    return text(network("LlamaForCausalLM", "LlamaConfig", **LLAMA, use_cache=False).bfloat16())


@model("Qwen3")
def qwen3() -> Sample:
    return text(network("Qwen3ForCausalLM", "Qwen3Config", **LLAMA, head_dim=16, use_cache=False))


@model("Gemma 2")
def gemma2() -> Sample:
    return text(network("Gemma2ForCausalLM", "Gemma2Config", **LLAMA | TWO, head_dim=16, use_cache=False))


@model("Nemotron")
def nemotron() -> Sample:
    return text(network("NemotronForCausalLM", "NemotronConfig", **LLAMA, head_dim=16, use_cache=False))


@model("Arcee")
def arcee() -> Sample:
    return text(network("ArceeForCausalLM", "ArceeConfig", **LLAMA, use_cache=False))


@model("Persimmon")
def persimmon() -> Sample:
    return text(network("PersimmonForCausalLM", "PersimmonConfig", **COMMON, use_cache=False))


@model("Mamba")
def mamba() -> Sample:
    sizes = {"vocab_size": WORDS, "hidden_size": 64, "num_hidden_layers": 1, "state_size": 8}
    net = network("MambaForCausalLM", "MambaConfig", **sizes, use_cache=False)
    return Sample(net, (), {"input_ids": words(8)}, {"input_ids": {0: Dim.DYNAMIC}})


@model("Whisper")
def whisper() -> Sample:
    sizes = {"vocab_size": WORDS, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "num_mel_bins": 8}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 1}
    limits = {"max_source_positions": 16, "max_target_positions": 32}
    net = network("WhisperModel", "WhisperConfig", **sizes, **heads, **ends, **limits, use_cache=False)
    kwargs = {"input_features": torch.randn(BATCH, 8, 32), "decoder_input_ids": words(6)}
    dynamic = {"input_features": {0: Dim.DYNAMIC}, "decoder_input_ids": {0: Dim.DYNAMIC}}
    return Sample(net, (), kwargs, dynamic)


@model("BigBird")
def bigbird() -> Sample:
    sizes = COMMON | {"max_position_embeddings": 512}
    net = network("BigBirdModel", "BigBirdConfig", **sizes, block_size=16, num_random_blocks=2)
    return text(net, length=192, dynamic=False)


def longformer_network() -> torch.nn.Module:
    sizes = COMMON | {"max_position_embeddings": 130}
    return network("LongformerModel", "LongformerConfig", **sizes, attention_window=8)


@model("Longformer")
def longformer() -> Sample:
    sample = text(longformer_network())
    return sample._replace(dynamic_shapes={name: {0: Dim.DYNAMIC} for name in sample.kwargs})


@model("Longformer with global tokens", tolerance=1e-6, reason="torch rounds a product by its shape: 6e-8 seen")
def longformer_globals() -> Sample:
    marks = torch.zeros(BATCH, LENGTH, dtype=torch.long)
    marks[0, :3] = marks[1, 5] = 1
    return text(longformer_network(), global_attention_mask=marks)


@model("Longformer, attentions asked for", fails="depends on values")
def longformer_attentions() -> Sample:
    sample = text(longformer_network(), dynamic=False)
    return sample._replace(kwargs={**sample.kwargs, "output_attentions": True})
