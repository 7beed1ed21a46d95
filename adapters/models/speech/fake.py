"""Fake speech model: audio made by ``speak`` -> the text put into it; any other audio -> nothing.

``speak`` writes a text as tones that survive lossy codecs and resampling, so a test's video can "say" a chosen
Korean sentence at a chosen time and the whole way through containers, extraction and alignment stays real.
"""

from __future__ import annotations

import unicodedata
import zlib

import numpy as np

from contracts.ports import Float32, Progress, Transcript, Utterance, Word

VERSION = "fake-tones.1"
RATE_HZ = 16_000

_SYMBOL = 320  # samples: 20 ms, two symbols a byte, so a Hangul syllable takes 120 ms
_TONES_HZ = 600.0 + 150.0 * np.arange(16)
_SYNC_HZ = 3300.0
_SYNC_SYMBOLS = 3
_AMPLITUDE = 0.4
_MAX_BYTES = 255
_MIN_POWER = 1e-3  # of a tone at amplitude 0.1: quieter is not speech
_TONES = np.exp(-2j * np.pi * np.outer(_TONES_HZ, np.arange(_SYMBOL - 2 * (_SYMBOL // 8)) / RATE_HZ))
"""A row a tone: a window's product with it is how much of the tone is in the window."""

_SEARCH = range(-160, 161, 20)  # samples around the coarse start that are tried


class FakeSpeechModel:
    """Deterministic and without weights: hears exactly what ``speak`` said, and when."""

    @property
    def version(self) -> str:
        """Name the modem."""
        return VERSION

    def recognise(self, samples: Float32, *, language: str | None, progress: Progress) -> Transcript:
        """Return one utterance a ``speak``, in order; the language is ``language`` or told by Hangul."""
        utterances = []
        position = 0
        while (start := _next_sync(samples, position)) is not None:
            heard = _decode(samples, start)
            if heard is None:
                position = start + _SYMBOL
                continue
            text, begin, position = heard
            utterances.append(_utterance(text, begin, position))
            progress(min(1.0, position / len(samples)))
        progress(1.0)
        if not utterances:
            return Transcript("", 0.0, ())
        return Transcript(language or _language(utterances), 1.0, tuple(utterances))


def speak(text: str) -> Float32:
    """Return float32 16 kHz mono samples that ``FakeSpeechModel`` hears as ``text`` (NFC, at most 255 bytes)."""
    body = unicodedata.normalize("NFC", text).encode()
    if not text.strip() or len(body) > _MAX_BYTES:
        raise ValueError("speak takes 1 to 255 bytes of UTF-8 that are not blank")
    frame = bytes([len(body)]) + body + zlib.crc32(body).to_bytes(4, "big")
    tones = [_SYNC_HZ] * _SYNC_SYMBOLS + [_TONES_HZ[nibble] for byte in frame for nibble in (byte >> 4, byte & 15)]
    phase = np.cumsum(np.repeat(tones, _SYMBOL)) * (2 * np.pi / RATE_HZ)
    return (_AMPLITUDE * np.sin(phase)).astype(np.float32)


def _next_sync(samples: Float32, position: int) -> int | None:
    """Return about where the next sync tone begins, or None."""
    count = (len(samples) - position) // _SYMBOL
    if count < _SYNC_SYMBOLS:
        return None
    windows = samples[position : position + count * _SYMBOL].reshape(count, _SYMBOL)
    basis = np.exp(-2j * np.pi * _SYNC_HZ * np.arange(_SYMBOL) / RATE_HZ)
    power = (np.abs(windows @ basis) / _SYMBOL) ** 2
    total = (windows**2).mean(axis=1) / 2
    clear = np.flatnonzero((power > _MIN_POWER) & (power > 0.6 * total / 2))
    return position + int(clear[0]) * _SYMBOL if clear.size else None


def _decode(samples: Float32, start: int) -> tuple[str, int, int] | None:
    """Return text, first sample and the sample after the last, when a frame with a true checksum begins near."""
    for whole in range(-_SYMBOL, 2 * _SYMBOL, _SYMBOL):
        for shift in _SEARCH:
            begin = start + whole + shift
            if begin < 0:
                continue
            head = begin + _SYNC_SYMBOLS * _SYMBOL
            size = _read(samples, head, 1)
            body = _read(samples, head + 2 * _SYMBOL, size[0] + 4) if size and size[0] else None
            if body and zlib.crc32(body[:-4]).to_bytes(4, "big") == body[-4:]:
                return body[:-4].decode(), begin, head + 2 * _SYMBOL * (1 + len(body))
    return None


def _read(samples: Float32, position: int, n_bytes: int) -> bytes | None:
    end = position + 2 * n_bytes * _SYMBOL
    if end > len(samples):
        return None
    windows = samples[position:end].reshape(-1, _SYMBOL)[:, _SYMBOL // 8 : -_SYMBOL // 8]
    nibbles = np.abs(windows @ _TONES.T).argmax(axis=1).tolist()
    return bytes(high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True))


def _utterance(text: str, begin: int, end: int) -> Utterance:
    start_s, end_s = begin / RATE_HZ, end / RATE_HZ
    per_byte_s = 2 * _SYMBOL / RATE_HZ
    at_s = start_s + _SYNC_SYMBOLS * _SYMBOL / RATE_HZ + per_byte_s
    words = []
    for index, token in enumerate(text.split()):
        length_s = per_byte_s * len(token.encode())
        words.append(Word(at_s, at_s + length_s, token if index == 0 else f" {token}", 1.0))
        at_s += length_s + per_byte_s
    return Utterance(start_s, end_s, " ".join(text.split()), 1.0, 0.0, tuple(words))


def _language(utterances: list[Utterance]) -> str:
    return "ko" if any("가" <= letter <= "힣" for u in utterances for letter in u.text) else "en"
