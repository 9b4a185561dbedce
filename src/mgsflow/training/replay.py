"""Work that is done over and over on the same buffers: as it is, or as a CUDA graph.

A graph launches all of a step's kernels at once, where a GPU would else wait for the host.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UP = 3  # steps before a graph is recorded: kernels are chosen and Adam's state is made

Work = Callable[[], None]


class Replay:
    """`work`, whose first calls run it as it is; then it is recorded, and replayed ever after.

    None of them is a rehearsal: each does the work once. Without `record` all run it as it is.
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
    """`work` as a CUDA graph: recorded, not run. It must not wait for the GPU anywhere."""
    graph = torch.cuda.CUDAGraph()
    # thread_local: what another thread does, such as the telemetry's, shall not spoil the record
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    return graph.replay


def on_side_stream(work: Work) -> None:
    """Run `work` on a stream of its own, as a graph wants its work to have run before."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        work()
    torch.cuda.current_stream().wait_stream(side)
