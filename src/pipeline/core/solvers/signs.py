"""Random signs as a function of the seed and the absolute position, made on the device that uses them.

Signs are white noise of unit variance that costs one random bit a value. A sum of many of them, such as the
solution of a large system whose right-hand side they are, is nearly Gaussian, and has the covariance that
Gaussian noise would give it. The bits come from the counter-based generator Philox4x32-10 (Salmon et al.
2011) in integer arithmetic, so that every device makes the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.core.sensing.noise import philox_key
from pipeline.core.solvers.engine import Engine

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
INCREMENTS = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
WORD = 0xFFFFFFFF
BITS = 32


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Return four random words for each counter, by Philox4x32-10.

    Parameters
    ----------
    counter : four int64 tensors
        Words of the counters, of shapes that broadcast.
    key : (int, int)
        Two words.

    Returns
    -------
    four int64 tensors
        Words from 0 to 2^32 - 1.
    """
    a, b, c, d = counter
    left, right = key
    for _ in range(ROUNDS):
        # products wrap at 64 bits, which keeps both of their words; the shift extends the sign, the mask not
        first, second = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        a, b, c, d = (
            ((second >> BITS) & WORD) ^ b ^ left,
            second & WORD,
            ((first >> BITS) & WORD) ^ d ^ right,
            first & WORD,
        )
        left, right = (left + INCREMENTS[0]) & WORD, (right + INCREMENTS[1]) & WORD
    return a, b, c, d


class SignField:
    """Random signs in channels on a window of an unbounded grid.

    Parameters
    ----------
    seed : int
        Seed.
    purpose : str
        Name of the draw; draws of different purposes are independent.
    shape : (int, int, int)
        Channels, height and width.
    origin : (int, int)
        Absolute row and column of the window's first pixel, non-negative.
    engine : Engine
        Device and type of the signs.
    """

    def __init__(
        self, seed: int, purpose: str, shape: tuple[int, int, int], origin: tuple[int, int], engine: Engine
    ) -> None:
        channels, height, width = shape
        self.engine, self.channels = engine, channels
        key = philox_key(seed, purpose)
        steps = torch.arange(max(height, width, channels), device=engine.device)
        rows, cols = (steps[:height] + origin[0])[:, None], (steps[:width] + origin[1])[None]
        blocks = steps[: -(-channels // (4 * BITS)), None, None]
        counter = rows, cols, blocks, torch.zeros_like(blocks)
        words = torch.broadcast_tensors(*philox(counter, (key & WORD, (key >> BITS) & WORD)))
        self.words = torch.stack(words, dim=1).flatten(0, 1)

    def read(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Return the signs ``(stop - start, H, W)``, 1 or -1, of some channels; by default of all."""
        channel = torch.arange(start, self.channels if stop is None else stop, device=self.words.device)
        bits = (self.words[channel // BITS] >> (channel % BITS)[:, None, None]) & 1
        return 2 * bits.to(self.engine.dtype) - 1
