"""Packed e5 weights -> an int8 ONNX graph of the encoder: token vectors in, token vectors out.

Activations are quantised per token and weights per column, in integers: a text's vector does not depend on the texts
beside it, to the bit, and is the same on every machine. Weights keep 7 bits, so that processors without VNNI, which
add two products in 16 bits, cannot overflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.models.text.e5_weights import PackedE5

_OPSET = 17
_FUSED = "com.microsoft"  # operators of onnxruntime
_WEIGHT_TOP = 63.0
_ACTIVATION_TOP = 127.0


def build(packed: PackedE5, target: Path) -> None:
    """Write the graph to ``target``; the same weights give the same bytes.

    Inputs: ``tokens`` float32 (t, hidden), all texts one after another; ``spread`` int64 (b, l), for each text and
    position its token (any for padding); ``gather`` int64 (t,), for each token its place in that table, flat; ``mask``
    float32 (b, 1, 1, l), 0 for tokens and very negative for padding. Output: ``states`` float32 (t, hidden).
    """
    target.write_bytes(_Graph(packed).model().SerializeToString(deterministic=True))


class _Graph:
    def __init__(self, packed: PackedE5) -> None:
        self._packed = packed
        self._sizes = packed.sizes
        self._nodes: list[Any] = []
        self._tensors: list[Any] = []
        self._quantised: dict[str, tuple[str, str]] = {}

    def model(self) -> Any:
        import onnx

        sizes = self._sizes
        width = sizes.hidden // sizes.heads
        self._constant("one", np.ones((), np.float32))
        self._constant("least", np.full((), 1e-8, np.float32))
        self._constant("per_step", np.full((), 1 / _ACTIVATION_TOP, np.float32))
        self._constant("middle_step", np.full((), 128, np.uint8))
        self._constant("scale", np.full((), width**-0.5, np.float32))
        self._constant("by_head", np.array([0, 0, 3 * sizes.heads, width], np.int64))
        self._constant("row", np.array([-1], np.int64))
        self._constant("flat", np.array([-1, sizes.hidden], np.int64))
        self._constant("thirds", np.array([sizes.heads] * 3, np.int64))
        at = self._norm("tokens", "emb.ln")
        for layer in range(sizes.layers):
            at = self._layer(at, f"l{layer}")
        self._nodes[-1].output[0] = "states"
        helper, kinds = onnx.helper, onnx.TensorProto
        inputs = (
            ("tokens", kinds.FLOAT, ["t", sizes.hidden]),
            ("spread", kinds.INT64, ["b", "l"]),
            ("gather", kinds.INT64, ["t"]),
            ("mask", kinds.FLOAT, ["b", 1, 1, "l"]),
        )
        graph = helper.make_graph(
            self._nodes,
            "e5-small",
            [helper.make_tensor_value_info(*entry) for entry in inputs],
            [helper.make_tensor_value_info("states", kinds.FLOAT, ["t", sizes.hidden])],
            self._tensors,
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="heimdex")

    def _layer(self, at: str, name: str) -> str:
        hidden, feed_forward = self._sizes.hidden, self._sizes.feed_forward
        joined = self._product(at, f"{name}.qkv", [f"{name}.{part}" for part in "qkv"], hidden)
        biases = np.concatenate([self._packed.vector(f"{name}.{part}.b") for part in "qkv"])
        context = self._attention(self._node("Add", [joined, self._constant(f"{name}.qkv.b", biases)]))
        out = self._product(context, f"{name}.ao", [f"{name}.ao"], hidden)
        at = self._norm(self._sum(out, at, f"{name}.ao.b"), f"{name}.aln")
        inner = self._product(at, f"{name}.fi", [f"{name}.fi"], hidden)
        inner = self._node("BiasGelu", [inner, self._vector(f"{name}.fi.b")], domain=_FUSED)
        last = f"{name}.fo"  # codespell:ignore fo
        out = self._product(inner, last, [last], feed_forward)
        return self._norm(self._sum(out, at, f"{last}.b"), f"{name}.oln")

    def _attention(self, joined: str) -> str:
        """Spread tokens into one row a text, attend within the row, gather them again."""
        spread = self._node("Reshape", [self._node("Gather", [joined, "spread"], axis=0), "by_head"])
        heads = self._node("Transpose", [spread], perm=[0, 2, 1, 3])
        query, key, value = self._nodes_of("Split", [heads, "thirds"], 3, axis=1)
        query = self._node("Mul", [query, "scale"])
        scores = self._node("MatMul", [query, self._node("Transpose", [key], perm=[0, 1, 3, 2])])
        shares = self._node("Softmax", [self._node("Add", [scores, "mask"])], axis=-1)
        context = self._node("Transpose", [self._node("MatMul", [shares, value])], perm=[0, 2, 1, 3])
        return self._node("Gather", [self._node("Reshape", [context, "flat"]), "gather"], axis=0)

    def _product(self, at: str, name: str, sources: Sequence[str], columns: int) -> str:
        """Multiply by the weights of ``sources`` side by side, in integers."""
        weights = np.concatenate([self._packed.matrix(f"{source}.w", columns) for source in sources])
        steps = np.abs(weights).max(axis=1) / _WEIGHT_TOP
        integers = np.round(weights / steps[:, None]).astype(np.int8)
        activations, scale = self._quantise(at)
        inputs = [
            activations,
            self._constant(f"{name}.w", integers.T),
            "one",
            self._constant(f"{name}.s", steps.astype(np.float32)),
            "middle_step",
            self._constant(f"{name}.z", np.zeros(len(steps), np.int8)),
        ]
        return self._node("Mul", [self._node("MatMulIntegerToFloat", inputs, domain=_FUSED), scale])

    def _quantise(self, at: str) -> tuple[str, str]:
        """Return ``at`` as uint8 around 128, and its step per token."""
        if at not in self._quantised:
            top = self._node("ReduceMax", [self._node("Abs", [at])], axes=[-1], keepdims=1)
            step = self._node("Max", [self._node("Mul", [top, "per_step"]), "least"])
            rows = self._node("Reshape", [step, "row"])
            middles = self._node("Expand", ["middle_step", self._node("Shape", [rows])])
            integers = self._node("QuantizeLinear", [at, rows, middles], axis=0)
            self._quantised[at] = (integers, step)
        return self._quantised[at]

    def _sum(self, product: str, before: str, bias: str) -> str:
        # Not SkipLayerNormalization, which does this and the norm in one: it takes six times as long.
        return self._node("Add", [self._node("Add", [product, self._vector(bias)]), before])

    def _norm(self, at: str, name: str) -> str:
        gain, shift = self._vector(f"{name}.w"), self._vector(f"{name}.b")
        return self._node("LayerNormalization", [at, gain, shift], axis=-1, epsilon=self._sizes.epsilon)

    def _vector(self, name: str) -> str:
        return self._constant(name, self._packed.vector(name))

    def _constant(self, name: str, value: Any) -> str:
        import onnx

        self._tensors.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def _node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        return self._nodes_of(kind, inputs, 1, **attributes)[0]

    def _nodes_of(self, kind: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        import onnx

        name = f"{kind.lower()}{len(self._nodes)}"
        outputs = [f"{name}.{index}" for index in range(count)]
        self._nodes.append(onnx.helper.make_node(kind, list(inputs), outputs, name=name, **attributes))
        return outputs
