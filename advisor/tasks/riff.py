"""Rate and length of a .wav from its header alone."""

from __future__ import annotations

import struct
from pathlib import Path

from advisor.tasks.sounds import MAX_FILE_BYTES, RATES_HZ

_MOST_CHUNKS = 64
_READABLE = {(1, 8), (1, 16), (1, 32), (3, 32), (3, 64)}
"""(format, bits) of samples that the reader of recordings takes: PCM and float."""
_EXTENSIBLE = 0xFFFE


def wave_header(file: Path) -> tuple[int, int] | None:
    """Sampling rate in Hz and samples a channel; None for what the reader of recordings would skip."""
    if file.suffix.lower() not in (".wav", ".wave"):
        return None
    try:
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            return None
        with file.open("rb") as stream:
            head = stream.read(12)
            if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
                return None
            rate = width = 0
            for _ in range(_MOST_CHUNKS):
                name, length = struct.unpack("<4sI", stream.read(8))
                if name == b"fmt ":
                    body = stream.read(length + length % 2)
                    code, channels, rate, _, width, bits = struct.unpack("<HHIIHH", body[:16])
                    if code == _EXTENSIBLE and len(body) >= 26:
                        code = struct.unpack("<H", body[24:26])[0]
                    if (code, bits) not in _READABLE or width != channels * bits // 8:
                        return None
                elif name == b"data" and width:
                    count = min(length, size - stream.tell()) // width
                    return (rate, count) if count and RATES_HZ[0] <= rate <= RATES_HZ[1] else None
                else:
                    stream.seek(length + length % 2, 1)
    except (OSError, struct.error):
        return None
    return None
