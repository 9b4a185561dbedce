"""Work that is repeated on the same buffers, called directly or replayed as a CUDA graph.

A graph launches all kernels of a step at once; otherwise a GPU would wait for the host.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UP = 3  # steps before recording a graph: they select kernels and create Adam's state

Work = Callable[[], None]


class Replay:
    """Calls `work` directly the first times, then records it, and from then on replays the record.

    Every call does the work exactly once. Without `record` every call is direct.
    """

    def __init__(
        self,
        work: Work,
        record: Callable[[Work], Work] | None = None,
        warm_up: Callable[[Work], None] | None = None,
    ) -> None:
        self._work = work
        self._record = record
        self._warm_up = warm_up or (lambda work: work())
        self._replay: Work | None = None
        self._calls = 0

    def __call__(self) -> None:
        if self._record is None or self._calls < WARM_UP:
            self._warm_up(self._work)
        else:
            if self._replay is None:
                self._replay = self._record(self._work)
            self._replay()
        self._calls += 1


def record_graph(work: Work) -> Work:
    """`work` as a CUDA graph, recorded but not run. `work` must not wait for the GPU."""
    graph = torch.cuda.CUDAGraph()
    # thread_local: the record must not fail because of another thread, such as the telemetry's
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    return graph.replay


def on_side_stream(work: Work) -> None:
    """Run `work` on a stream of its own, which is required before recording it as a graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        work()
    torch.cuda.current_stream().wait_stream(side)
