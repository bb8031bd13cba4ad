"""The computing of a scene's blocks: in this process, in its threads, or on a running Dask cluster.

Results come in the blocks' order and few are under way at a time, so that neither the result
nor the memory depends on the choice. A lost worker's blocks are computed again by Dask.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from pipeline.core.quality.blockwise import Mapped
from pipeline.core.window import Window
from pipeline.errors import InputError

T = TypeVar("T")

PER_THREAD = 8  # blocks that a thread computes before the threads wait for each other
IN_FLIGHT = 1024  # blocks submitted to a cluster at a time; blocks that wait take no memory
SECONDS_TO_CONNECT = 10


@contextmanager
def scheduled(scheduler: str, workers: int = 2) -> Iterator[Mapped]:
    """Provide a `map` that computes blocks on the given scheduler.

    Parameters
    ----------
    scheduler : str
        `synchronous`: one after the other in this process; `threads`: Dask's threads in this
        process; `tcp://host:port`: the running Dask scheduler at this address, whose workers have
        this package and see the same files.
    workers : int
        Number of threads for `threads`.

    Raises
    ------
    InputError
        The scheduler is unknown, cannot be reached, or is lost with its workers.
    """
    if scheduler == "synchronous":
        yield map
    elif scheduler == "threads":
        yield partial(_in_threads, workers)
    elif scheduler.startswith(("tcp://", "tls://")):
        with _client(scheduler) as client:
            yield partial(_on_cluster, client)
    else:
        raise InputError(
            f"--scheduler: {scheduler!r} is unknown; use threads, synchronous or tcp://host:port, "
            "the address of a running Dask scheduler"
        )


def reported(mapped: Mapped, report: Callable[[str, int, int], None], *phases: str) -> Mapped:
    """Return a `map` that reports its start and each result.

    Parameters
    ----------
    mapped : callable
        The `map` that computes.
    report : callable
        Takes the name of the phase, and how many of its blocks are finished.
    *phases : str
        Names of the phases: of the first call of the `map`, of the second, and so on.
    """
    names = iter(phases)

    def reporting(function: Callable[[Window], T], items: Sequence[Window], /) -> Iterable[T]:
        phase = next(names)
        report(phase, 0, len(items))
        for done, result in enumerate(mapped(function, items), start=1):
            report(phase, done, len(items))
            yield result

    return reporting


def _in_threads(workers: int, function: Callable[[Window], T], items: Sequence[Window]) -> Iterable[T]:
    from dask.base import compute
    from dask.delayed import delayed

    task = delayed(function, traverse=False)
    at_once = PER_THREAD * workers
    for first in range(0, len(items), at_once):
        batch = [task(item) for item in items[first : first + at_once]]
        yield from compute(*batch, scheduler="threads", num_workers=workers)


@contextmanager
def _client(address: str) -> Iterator[Any]:
    from distributed import Client, KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler: no Dask scheduler answers at {address} ({error}); start one with "
            "`dask scheduler`, or use --scheduler threads"
        ) from None
    try:
        if not client.nthreads():
            logging.getLogger(__name__).warning("%s has no workers yet; waiting for `dask worker`", address)
        yield client
    except KilledWorker as error:
        raise InputError(
            f"--scheduler: the workers of {address} were lost while computing a block ({error}); "
            "give them more memory and run again"
        ) from None
    except (CancelledError, CommClosedError):
        raise InputError(
            f"--scheduler: the scheduler at {address} was lost; start it and run again"
        ) from None
    finally:
        client.close()


def _on_cluster(client: Any, function: Callable[[Window], T], items: Sequence[Window]) -> Iterable[T]:
    # as a task, it is computed again if lost, and each worker keeps one copy
    shared = client.submit(_unchanged, function, pure=False)
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(client.submit(_call, shared, item, pure=False))
        if len(waiting) == IN_FLIGHT:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _unchanged(function: Callable[[Window], T]) -> Callable[[Window], T]:
    return function


def _call(function: Callable[[Window], T], item: Window) -> T:
    return function(item)
