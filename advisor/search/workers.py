"""Worker processes that evaluate candidates. A crash, a hang or a full memory costs one evaluation, not the run."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from advisor.evaluate import Request, Result
from advisor.rung import Ranking, trained_network

Notice = Callable[[int, str, float], None]
"""Progress of a worker: its number, the stage, the share done."""
Supply = Callable[[Collection[str]], Request | None]
"""The next request for a free worker, or None for the time being. Given are the networks (`trained_network`) that
workers are at: two requests for one network would both train it."""


MAX_SERVED = 48
"""Requests after which a worker is replaced: converters keep memory of every network they ever saw."""


@dataclass(frozen=True)
class Outcome:
    """What became of a request: a ranking, or results a runtime, or the error that stopped all of it."""

    request: Request
    results: tuple[Result, ...]
    error: str = ""
    died: bool = False
    ranking: Ranking | None = None


@dataclass
class _Worker:
    number: int
    process: BaseProcess
    pipe: Connection
    request: Request | None = None
    deadline: float = 0.0
    served: int = 0


class WorkerPool:
    """`count` processes, each with the task loaded once and one thread of its own.

    `spec` is `Spec.to_dict()` and `folder` its folder: a worker reopens the task by itself. What native libraries
    print goes to `log`.
    """

    def __init__(
        self, spec: dict[str, Any], folder: Path, count: int, *, log: Path | None = None, timeout_s: float = 1800.0
    ) -> None:
        self._spec, self._folder, self._log, self._timeout_s = spec, folder, log, timeout_s
        self._context = multiprocessing.get_context("spawn")
        self._workers = [self._start(number) for number in range(count)]

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.pipe.close()  # an idle worker ends by itself
            if worker.request is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(timeout=3)
            if worker.process.is_alive():
                worker.process.kill()

    @property
    def pids(self) -> list[int | None]:
        return [worker.process.pid for worker in self._workers]

    def at_work(self, number: int) -> Request | None:
        """What a worker is busy with."""
        return self._workers[number].request

    def run(
        self, requests: Sequence[Request], notice: Notice | None = None, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Outcome]:
        """Outcomes as they finish. Two requests for one network never train it at the same time.

        A request whose worker died is tried once more: what killed it may have had nothing to do with it. Once `stop`
        answers true no further request is begun; those not begun have no outcome.
        """
        waiting = list(requests)

        def supply(busy: Collection[str]) -> Request | None:
            if stop():
                waiting.clear()
            index = next((i for i, r in enumerate(waiting) if trained_network(r.candidate) not in busy), None)
            return None if index is None else waiting.pop(index)

        return self.serve(supply, notice)

    def serve(self, supply: Supply, notice: Notice | None = None) -> Iterator[Outcome]:
        """Outcomes as they finish, until no worker is busy and `supply` has nothing.

        It is asked whenever a worker is free, and again after every outcome. A request whose worker died is tried
        once more: what killed it may have had nothing to do with it.
        """
        again: list[Request] = []
        retried: set[int] = set()
        news = True
        while True:
            for worker in self._workers:
                if worker.request is not None:
                    continue
                request = again.pop(0) if again else supply(self._training()) if news else None
                if request is None:
                    break
                self._send(worker, request)
            news = False
            if not any(worker.request for worker in self._workers):
                return
            for outcome in self._collect(notice):
                news = True
                if outcome.died and id(outcome.request) not in retried:
                    retried.add(id(outcome.request))
                    again.append(outcome.request)
                    continue
                yield outcome

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Workers stand still, so that the machine is free to measure on; their deadlines wait with them."""
        since = time.monotonic()
        busy = [worker for worker in self._workers if worker.request is not None]
        try:
            self._signal(busy, "SIGSTOP")
            yield
        finally:
            self._signal(busy, "SIGCONT")
            for worker in busy:
                worker.deadline += time.monotonic() - since

    @staticmethod
    def _signal(workers: Sequence[_Worker], name: str) -> None:
        number = getattr(signal, name, None)  # Windows has neither: there a measurement shares the machine
        for worker in workers:
            if number is not None and worker.process.pid is not None and worker.process.is_alive():
                os.kill(worker.process.pid, number)

    def _training(self) -> set[str]:
        return {trained_network(worker.request.candidate) for worker in self._workers if worker.request}

    def _send(self, worker: _Worker, request: Request) -> None:
        worker.request, worker.deadline = request, time.monotonic() + self._timeout_s
        try:
            worker.pipe.send(request)
        except (BrokenPipeError, OSError):
            self._restart(worker)
            worker.request, worker.deadline = request, time.monotonic() + self._timeout_s
            worker.pipe.send(request)

    def _collect(self, notice: Notice | None) -> Iterator[Outcome]:
        active = [worker for worker in self._workers if worker.request]
        ready = wait([worker.pipe for worker in active], timeout=0.5)
        for worker in active:
            request = worker.request
            assert request is not None  # noqa: S101 - filtered above
            if worker.pipe in ready:
                try:
                    kind, payload = worker.pipe.recv()
                except (EOFError, OSError):
                    yield self._died(worker, request)
                    continue
                if kind == "progress":
                    if notice:
                        notice(worker.number, *payload)
                    continue
                worker.request = None
                worker.served += 1
                if worker.served >= MAX_SERVED:
                    self._restart(worker)
                if kind != "done":
                    yield Outcome(request, (), payload)
                elif isinstance(payload, Ranking):
                    yield Outcome(request, (), ranking=payload)
                else:
                    yield Outcome(request, tuple(payload))
            elif time.monotonic() > worker.deadline:
                worker.process.kill()
                self._restart(worker)
                yield Outcome(request, (), f"no result within {self._timeout_s:g} s; the worker was stopped")

    def _died(self, worker: _Worker, request: Request) -> Outcome:
        worker.process.join(timeout=5)
        code = worker.process.exitcode
        self._restart(worker)
        how = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
        hint = " (often: out of memory)" if code == -signal.SIGKILL else ""
        return Outcome(request, (), f"the worker process died twice, with {how}{hint}", died=True)

    def _restart(self, worker: _Worker) -> None:
        worker.pipe.close()
        worker.process.join(timeout=5)
        fresh = self._start(worker.number)
        worker.process, worker.pipe, worker.request, worker.served = fresh.process, fresh.pipe, None, 0

    def _start(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        log = str(self._log) if self._log else os.devnull
        process = self._context.Process(target=_serve, args=(theirs, self._spec, str(self._folder), log), daemon=True)
        with _no_main():
            process.start()
        theirs.close()
        return _Worker(number, process, ours)


@contextmanager
def _no_main() -> Iterator[None]:
    """Start processes that do not run the caller's script a second time: they need nothing of it, and a script
    without a `__main__` guard would start searches of its own."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _serve(pipe: Connection, document: dict[str, Any], folder: str, log: str) -> None:
    """A worker's life: open the task, answer requests until the pipe closes."""
    with open(log, "ab") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    parent = os.getppid()
    _end_with_parent()
    task: Any = None
    while True:
        try:
            request: Request = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            if task is None:
                task = _open(document, folder)
            answer = ("done", _evaluate(request, task, pipe, parent))
        except BaseException as error:  # a worker reports everything and lives on
            if isinstance(error, (SystemExit, KeyboardInterrupt)):
                return
            answer = ("failed", _line(error))  # type: ignore[assignment]
        try:
            pipe.send(answer)
        except (BrokenPipeError, OSError):
            return


def _end_with_parent() -> None:
    """Ask Linux to end this process with its parent: a worker that stands still could not see it go."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of linux/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _open(document: dict[str, Any], folder: str) -> Any:
    import torch

    from advisor.tasks.load import open_task
    from specs.spec import from_dict

    # one thread a worker: small networks gain nothing from more, and two workers would fight over them
    torch.set_num_threads(1)
    return open_task(from_dict(document, folder=Path(folder)))


def _evaluate(request: Request, task: Any, pipe: Connection, parent: int) -> Ranking | list[Result]:
    from advisor.rung import evaluate_rung

    last = [0.0]

    def progress(stage: str, share: float) -> None:
        if os.getppid() != parent:
            raise SystemExit  # the coordinator was killed: nobody waits for this result
        if time.monotonic() - last[0] > 0.3:
            last[0] = time.monotonic()
            pipe.send(("progress", (stage, share)))

    return evaluate_rung(request, task, progress)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if type(error).__name__ == "TrainingFailedError" else f"{type(error).__name__}: {text}"[:500]
