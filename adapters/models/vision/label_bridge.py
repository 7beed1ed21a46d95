"""The label bridge: images -> EfficientNet labels -> text vectors of their names; Korean and English queries beside.

No contrastive image-text weights come as a package; a classifier and a cross-lingual sentence encoder do. An image's
vector is the mean of its labels' name vectors, so a sentence about a thing that ImageNet knows is near its pictures.
It knows 1,000 things, and no people.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from adapters.models.vision.efficientnet import EfficientNetLite0
from adapters.models.vision.labels import kinds, labels
from adapters.models.vision.sentences import sentence_encoder, unit
from adapters.models.weights import in_folder, loading, running
from contracts.ports import Float32, Tag, UInt8

NET_FILE = "efficientnet-lite0.onnx"

_TEXT_DIM = 512
_TOP = 5  # labels that make an image's vector. Source: measured, with the square root of their probabilities
_MIN_LABEL = 0.35
_MIN_KIND = 0.5
_MAX_TAGS = 8


@cache
def version() -> str:
    """Return what names net, tables and rule; cheap: it hashes two small tables."""
    return f"efficientnet-lite0-usem3-{_tables_digest()}.1"


def vectors_file() -> str:
    """Return the name, under the models folder, of the cached label vectors of these tables."""
    return f"label-vectors-{_tables_digest()}.npy"


@cache
def _tables_digest() -> str:
    digest = hashlib.sha256()
    for name in ("labels.tsv", "kinds.tsv"):
        digest.update(files(__package__).joinpath(name).read_bytes())
    return digest.hexdigest()[:8]


class LabelBridge:
    """Vision encoder of the small profile; safe from several threads. Load is lazy, images and texts apart.

    A vector's last number is how little the net is sure of the image; it is 0 for queries. So the cosine with a
    picture of nothing known shrinks with the certainty, instead of pointing somewhere by chance.
    """

    def __init__(self, models_dir: Path, *, threads: int) -> None:
        self._models_dir = models_dir
        self._threads = threads
        self._lock = threading.Lock()
        self._net: EfficientNetLite0 | None = None
        self._space: tuple[Float32, Float32] | None = None

    @property
    def version(self) -> str:
        """Name net, tables and rule."""
        return version()

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return _TEXT_DIM + 1

    def encode_images(self, images: Sequence[UInt8]) -> tuple[Float32, Sequence[tuple[Tag, ...]]]:
        """Encode RGB uint8 (h, w, 3) images: float32 (n, 513) L2-normalised, and each image's tags, best first.

        Raises: ModelUnavailable (transient) when weights are missing or the runtime failed.
        """
        with self._lock:
            if self._net is None:
                path = in_folder(self._models_dir, NET_FILE, maker="assets")
                with loading("vision"):
                    self._net = EfficientNetLite0(path, threads=self._threads)
            centred, _ = self._label_space()
        vectors = np.zeros((len(images), self.dim), np.float32)
        all_tags = []
        for index, image in enumerate(images):
            with running("vision"):
                probabilities = self._net.probabilities(image)
            vectors[index] = image_vector(probabilities, centred)
            all_tags.append(tags(probabilities))
        return vectors, all_tags

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """Encode texts into the image space: float32 (n, 513), L2-normalised. Raises as ``encode_images``."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        if not texts:
            return vectors
        with self._lock:
            _, mean = self._label_space()
        encoded = sentence_encoder().encode([text.lower() for text in texts])
        vectors[:, :_TEXT_DIM] = unit(encoded - mean)
        return vectors

    def _label_space(self) -> tuple[Float32, Float32]:
        if self._space is None:
            path = in_folder(self._models_dir, vectors_file(), maker="assets")
            with loading("vision"):
                vectors: Float32 = np.load(path)
            mean = vectors.mean(axis=0)
            self._space = vectors - mean, mean
        return self._space


def image_vector(probabilities: Float32, centred: Float32) -> Float32:
    """Return float32 (513,), L2-normalised: the image's place among labels, shrunk by how sure the net is.

    Args:
        probabilities: (1000,), of the labels.
        centred: (1000, 512), label vectors less their mean.
    """
    best = np.argsort(probabilities)[-_TOP:]
    direction = np.sqrt(probabilities[best]) @ centred[best]
    sure = min(1.0, float(probabilities[best].sum()))
    vector: Float32 = np.append(unit(direction) * sure, np.sqrt(1.0 - sure * sure)).astype(np.float32)
    return vector


def tags(probabilities: Float32) -> tuple[Tag, ...]:
    """Return what is seen, best first: labels the net is sure of, and kinds that several labels agree on."""
    found = {label.id: Tag(label.id, label.names, float(p)) for label, p in _likely(probabilities, _MIN_LABEL)}
    sums: dict[str, float] = {}
    for label, p in _likely(probabilities, 0.01):
        for kind in label.kinds:
            sums[kind] = sums.get(kind, 0.0) + float(p)
    for kind, total in sums.items():
        if total >= _MIN_KIND:
            names = kinds()[kind].names
            known = found[kind].names if kind in found else ()
            found[kind] = Tag(kind, tuple(dict.fromkeys(names + known)), min(1.0, total))
    return tuple(sorted(found.values(), key=lambda tag: -tag.score)[:_MAX_TAGS])


def _likely(probabilities: Float32, least: float) -> list[tuple[Any, float]]:
    return [(labels()[i], float(probabilities[i])) for i in np.flatnonzero(probabilities >= least)]


def label_vectors() -> Float32:
    """Return float32 (1000, 512), L2-normalised: Korean and English names of each label and its kinds; 2 s of work."""
    of_labels = [name for label in labels() for name in label.names]
    of_kinds = [name for kind in kinds().values() for name in kind.names]
    names = [*dict.fromkeys(of_labels + of_kinds)]
    vector = dict(zip(names, sentence_encoder().encode(names), strict=True))

    def mean(words: Sequence[str]) -> Float32:
        centre: Float32 = np.mean([vector[word] for word in words], axis=0)
        return centre

    rows = []
    for label in labels():
        above = [mean(kinds()[kind].korean) for kind in label.kinds]
        # Source: measured on 18 queries and on the kinds: names alone find 0.47 of a kind's labels, with kinds 0.77.
        rows.append(mean(label.korean) + mean(label.english) + 0.5 * above[0] + 0.5 * np.mean(above, axis=0))
    return unit(np.stack(rows))
