"""Batches of stamps on the training device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mgsflow.core.progress import say
from mgsflow.models.encoders.vae_blocks import block_shape, to_blocks
from mgsflow.sample.shards import StampSet
from mgsflow.sample.stretch import Stretch

_RESIDENT_SHARE = 0.6  # largest share of the GPU's free memory that the stamps may take
_LOADED_AT_ONCE = 2048  # stamps; limits the host's memory while the set is copied to the GPU


class Batches:
    """Pixels of the stamps at `rows` of the index, in batches on `device`.

    On a GPU the pixels have their stored type, float16 or uint8, and `stretch_tensor` stretches
    them there. The whole set stays in the GPU's memory if it fits; otherwise each batch is read
    through the shards' memory maps. On a CPU a table stretches the pixels, which is faster than
    asinh.

    In blocks, float16 pixels are stretched once, on arrival at the GPU, and kept as float16: its
    eleven binary digits resolve a few hundredths of the sky's noise for numbers below 3, and an
    asinh at every step would cost as much as a layer. uint8 pixels are left unchanged.

    Parameters
    ----------
    blocks : whether to arrange the pixels in blocks of 2 x 2 (`models.encoders.vae_blocks`)
    resident : whether the set stays on the device; by default on a GPU where it fits
    """

    def __init__(
        self,
        stamps: StampSet,
        rows: np.ndarray,
        device: torch.device,
        blocks: bool = False,
        resident: bool | None = None,
    ) -> None:
        self._stamps = stamps
        self._rows = rows
        self._device = device
        self._blocks = blocks
        self.shape = block_shape(stamps.layout.shape) if blocks else stamps.layout.shape
        self._stored = torch.float16 if stamps.layout.dtype == "float16" else torch.uint8
        if resident is None:
            resident = device.type == "cuda" and self._fits()
        self._resident = self._load() if resident else None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def resident(self) -> bool:
        """Whether the whole set is in the device's memory."""
        return self._resident is not None

    @property
    def stretch(self) -> Stretch:
        assert self._stamps.stretch is not None
        return self._stamps.stretch

    @property
    def _table(self) -> bool:
        """Whether a table stretches the pixels on the host."""
        return self._device.type == "cpu" and not self._blocks and not self.resident

    def buffer(self, count: int) -> Tensor:
        """A buffer for a batch of `count` stamps in the form that `read` yields."""
        dtype = torch.float32 if self._table else self._stored
        buffer = torch.zeros((count, *self.shape), dtype=dtype, device=self._device)
        return buffer.contiguous(memory_format=torch.channels_last) if self._table else buffer

    def read(
        self, order: np.ndarray, batch_size: int, into: Tensor | None = None
    ) -> Iterator[Tensor]:
        """The pixels at positions `order`: (n, bands, size, size), or (n, side, side, 4 bands).

        A full batch is written into `into`, if that is given, and `into` is yielded.
        """
        # the whole order is copied to the device once: a copy per batch would stall each batch
        places = torch.from_numpy(order).to(self._device) if self.resident else order
        for start in range(0, len(order), batch_size):
            chosen = places[start : start + batch_size]
            yield self._batch(chosen, into if len(chosen) == batch_size else None)

    def _batch(self, chosen: Tensor | np.ndarray, into: Tensor | None) -> Tensor:
        if self._resident is not None:
            out = self.buffer(len(chosen)) if into is None else into
            torch.index_select(_words(self._resident), 0, chosen, out=_words(out))
            return out
        pixels = self._from_host(chosen)
        return pixels if into is None else into.copy_(pixels)

    def _from_host(self, chosen: np.ndarray) -> Tensor:
        rows = self._rows[chosen]
        if self._table:
            stretched = torch.from_numpy(self._stamps.read(rows))
            return stretched.contiguous(memory_format=torch.channels_last)
        return self._arranged(rows)

    def _arranged(self, rows: np.ndarray) -> Tensor:
        raw = torch.from_numpy(self._stamps.raw(rows))
        if self._device.type == "cuda":
            # from pinned memory the copy runs while the host reads the next stamps
            raw = raw.pin_memory().to(self._device, non_blocking=True)
        if not self._blocks:
            return raw
        if raw.dtype == torch.float16:
            raw = stretch_tensor(raw, self.stretch).half()
        return to_blocks(raw)

    def _fits(self) -> bool:
        size = len(self) * int(np.prod(self.shape)) * self._stored.itemsize
        return size < _RESIDENT_SHARE * torch.cuda.mem_get_info(self._device)[0]

    def _load(self) -> Tensor | None:
        """The whole set on the device, or None if it does not fit after all."""
        try:
            resident = torch.empty(
                (len(self), *self.shape), dtype=self._stored, device=self._device
            )
        except torch.OutOfMemoryError:
            say(f"{len(self)} stamps do not fit on {self._device}: they are read batch by batch")
            return None
        for start in range(0, len(self), _LOADED_AT_ONCE):
            rows = self._rows[start : start + _LOADED_AT_ONCE]
            resident[start : start + len(rows)] = self._arranged(rows)
        return resident


def _words(pixels: Tensor) -> Tensor:
    """The same memory as (n, words of 8 or 4 bytes): fewer elements to gather than pixels.

    Stamps of an even size, and blocks, have a multiple of 4 bytes in uint8 as well.
    """
    flat = pixels.view(len(pixels), -1)
    return flat.view(torch.int64 if flat[:1].nbytes % 8 == 0 else torch.int32)


def stretch_tensor(pixels: Tensor, stretch: Stretch) -> Tensor:
    """Apply `stretch` on the device that holds `pixels`; float32 pixels are already stretched."""
    if pixels.dtype == torch.float32:
        return pixels
    if pixels.dtype == torch.uint8:
        return pixels.float() / 255
    return torch.asinh(pixels.float() / stretch.softening) / stretch.scale
