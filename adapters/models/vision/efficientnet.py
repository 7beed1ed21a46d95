"""EfficientNet-Lite0: legacy torch checkpoint -> ONNX graph, without torch; RGB images -> 1,000 probabilities."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from contracts.ports import Float32, UInt8

SIDE_PX = 224
CLASSES = 1000

_OPSET = 17
_BN_EPSILON = 1e-3
_CROP = 0.875  # share of the shorter side that the net was evaluated on
_WIDE = 1.25  # pictures wider or taller than this are read in three squares, so their edges count

_STAGES = (  # repeats, kernel, stride, expansion. Source: EfficientNet-Lite0: B0 without squeeze-and-excitation
    (1, 3, 1, 1),
    (2, 3, 2, 6),
    (2, 5, 2, 6),
    (3, 3, 2, 6),
    (3, 5, 1, 6),
    (4, 5, 2, 6),
    (1, 3, 1, 6),
)


class EfficientNetLite0:
    """The net on onnxruntime; loads at once. Safe from several threads."""

    def __init__(self, path: Path, *, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def probabilities(self, image: UInt8) -> Float32:
        """Return the probability (1000,) of each class for an RGB uint8 (h, w, 3) image: the mean of its squares."""
        (probabilities,) = self._session.run(None, {"image": np.stack([_normalised(s) for s in _squares(image)])})
        mean: Float32 = probabilities.mean(axis=0)
        return mean


def _squares(image: UInt8) -> list[UInt8]:
    """Return the centre square of a nearly square picture, or both ends and the middle of a long one."""
    height, width = image.shape[:2]
    side = min(height, width)
    if max(height, width) < _WIDE * side:
        margin = round(side * (1 - _CROP) / 2)
        top, left = (height - side) // 2 + margin, (width - side) // 2 + margin
        return [image[top : top + side - 2 * margin, left : left + side - 2 * margin]]
    spare = max(height, width) - side
    starts = (0, spare // 2, spare)
    return [image[at : at + side] if height > width else image[:, at : at + side] for at in starts]


def _normalised(square: UInt8) -> Float32:
    import cv2

    smaller = max(square.shape[:2]) > SIDE_PX
    resized = cv2.resize(
        np.ascontiguousarray(square),
        (SIDE_PX, SIDE_PX),
        interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC,
    )
    return ((resized.astype(np.float32) - 127.0) / 128.0).transpose(2, 0, 1)


# ------------------------------------------------------------------------------------------ conversion


def convert(checkpoint: Path, target: Path) -> None:
    """Write ``target``: input ``image`` float32 (n, 3, 224, 224), output ``probabilities`` (n, 1000).

    Batch norms are folded into the convolutions, so the same checkpoint gives the same bytes.

    Raises: pickle.UnpicklingError or KeyError (permanent) when the checkpoint is not the one that is known.
    """
    import onnx

    graph = _Graph(read_checkpoint(checkpoint))
    at = graph.convolution("image", "_conv_stem", "_bn0", stride=2)
    block = 0
    for repeats, kernel, stride, expansion in _STAGES:
        for repeat in range(repeats):
            at = graph.block(
                at, f"_blocks.{block}", kernel=kernel, stride=1 if repeat else stride, expand=expansion > 1
            )
            block += 1
    at = graph.convolution(at, "_conv_head", "_bn1")
    model = graph.finish(at)
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString(deterministic=True))


class _Graph:
    """An ONNX graph being built from a state dict."""

    def __init__(self, state: Mapping[str, Float32]) -> None:
        self._state = state
        self._nodes: list[Any] = []
        self._tensors: list[Any] = []

    def _node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        import onnx

        name = f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def _tensor(self, name: str, value: Float32) -> str:
        import onnx

        self._tensors.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def convolution(
        self, at: str, weights: str, norm: str, *, stride: int = 1, depthwise: bool = False, activate: bool = True
    ) -> str:
        """Add a convolution with its batch norm folded in, and ReLU6."""
        w = self._state[f"{weights}.weight"]
        scale = self._state[f"{norm}.weight"] / np.sqrt(self._state[f"{norm}.running_var"] + _BN_EPSILON)
        bias = self._state[f"{norm}.bias"] - self._state[f"{norm}.running_mean"] * scale
        at = self._node(
            "Conv",
            [at, self._tensor(f"{weights}.w", w * scale[:, None, None, None]), self._tensor(f"{weights}.b", bias)],
            kernel_shape=list(w.shape[2:]),
            strides=[stride, stride],
            group=len(w) if depthwise else 1,
            auto_pad="SAME_UPPER",  # TensorFlow's padding, which the net was trained with
        )
        if not activate:
            return at
        if not any(tensor.name == "six" for tensor in self._tensors):
            self._tensor("zero", np.zeros((), np.float32))
            self._tensor("six", np.full((), 6.0, np.float32))
        return self._node("Clip", [at, "zero", "six"])

    def block(self, at: str, name: str, *, kernel: int, stride: int, expand: bool) -> str:
        """Add an inverted residual block."""
        inside = self.convolution(at, f"{name}._expand_conv", f"{name}._bn0") if expand else at
        depthwise = f"{name}._depthwise_conv"
        if self._state[f"{depthwise}.weight"].shape[2] != kernel:
            raise pickle.UnpicklingError(f"{depthwise} is not {kernel} wide: another network")
        inside = self.convolution(inside, depthwise, f"{name}._bn1", stride=stride, depthwise=True)
        out = self.convolution(inside, f"{name}._project_conv", f"{name}._bn2", activate=False)
        entry = self._state[f"{name}.{'_expand' if expand else '_depthwise'}_conv.weight"]
        width_in = entry.shape[1] if expand else entry.shape[0]
        same = stride == 1 and width_in == self._state[f"{name}._project_conv.weight"].shape[0]
        return self._node("Add", [out, at]) if same else out

    def finish(self, at: str) -> Any:
        """Add pooling, the classifier and softmax; return the model."""
        import onnx

        at = self._node("Flatten", [self._node("GlobalAveragePool", [at])])
        weights = [self._tensor("fc.w", self._state["_fc.weight"]), self._tensor("fc.b", self._state["_fc.bias"])]
        at = self._node("Softmax", [self._node("Gemm", [at, *weights], transB=1)], axis=1)
        self._nodes[-1].output[0] = "probabilities"
        kind, value = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            self._nodes,
            "efficientnet-lite0",
            [value("image", kind, ["n", 3, SIDE_PX, SIDE_PX])],
            [value("probabilities", kind, ["n", CLASSES])],
            self._tensors,
        )
        opset = [onnx.helper.make_opsetid("", _OPSET)]
        return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8, producer_name="heimdex")


# ------------------------------------------------------------------------------------ legacy checkpoint


def read_checkpoint(path: Path) -> Mapping[str, Float32]:
    """Return the tensors of a torch checkpoint in the form before 1.6, by name, as float32.

    Only the names a state dict needs may be unpickled, so the file cannot run code.

    Raises: pickle.UnpicklingError (permanent) when it asks for anything else.
    """
    with path.open("rb") as file:
        return _read(file)


def _read(file: BinaryIO) -> Mapping[str, Float32]:
    for _ in range(3):  # magic number, protocol, sizes of C types
        _Unpickler(file).load()
    shells = _Unpickler(file).load()
    keys = _Unpickler(file).load()
    storages: dict[str, Any] = {}
    kinds = {shell.key: shell.dtype for shell in shells.values()}
    for key in keys:
        count = int(np.frombuffer(file.read(8), "<i8")[0])
        kind = np.dtype(kinds[key])
        storages[key] = np.frombuffer(file.read(count * kind.itemsize), kind)
    return {name: shell.fill(storages[shell.key]) for name, shell in shells.items()}


class _Shell:
    """A tensor whose numbers come later in the file."""

    def __init__(self, storage: tuple[str, str], offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.dtype, self.key = storage
        self._offset, self._shape, self._stride = offset, shape, stride

    def fill(self, storage: Any) -> Float32:
        size = storage.itemsize
        view = np.lib.stride_tricks.as_strided(
            storage[self._offset :], self._shape, [step * size for step in self._stride], writeable=False
        )
        return np.array(view, np.float32)


def _rebuild(storage: Any, offset: int, shape: Any, stride: Any, *_unused: object) -> _Shell:
    return _Shell(storage, offset, shape, stride)


_ALLOWED: Mapping[tuple[str, str], object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
}


class _Unpickler(pickle.Unpickler):
    """Reads a state dict and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"checkpoint asks for {module}.{name}, which no state dict needs")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        _, dtype, key, _location, _size, *_view = pid
        return dtype, key


def unpickle(blob: bytes) -> object:
    """Unpickle ``blob`` by the same allow-list (for its test)."""
    return _Unpickler(io.BytesIO(blob)).load()
