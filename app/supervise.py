"""Several serving processes: started, watched, ended together."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from app.balance import AWAY, FILE, Balance
from app.metrics import SHARED
from app.settings import Settings
from app.sockets import REFUSED, announce, bound_socket

LOOK_S = 0.1
RESTART_S = 1.0  # pause before a worker that ended is started again
GRACE_S = 5.0  # beyond the drain, then it is killed

logger = logging.getLogger("polyrank.supervise")


class Supervisor:
    """Runs `settings.workers` processes; `metrics` is the folder in which they share what they measure."""

    def __init__(self, settings: Settings, metrics: Path) -> None:
        self._settings, self._metrics = settings, metrics
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self._due: dict[int, float] = {}
        self._ending = False

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, or until a worker refuses to start; the exit status."""
        reserved = bound_socket(self._settings.host, self._settings.port)  # never listens: it only holds the port
        self._settings = self._settings.model_copy(update={"port": reserved.getsockname()[1]})
        Balance.create(self._metrics / FILE, self._settings.workers)
        previous = {number: signal.signal(number, self._end) for number in (signal.SIGTERM, signal.SIGINT)}
        announce(reserved)
        try:
            return self._watch()
        finally:
            self._stop()
            reserved.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _watch(self) -> int:
        self._due = dict.fromkeys(range(self._settings.workers), 0.0)
        while not self._ending:
            for place in [one for one, due in self._due.items() if time.monotonic() >= due]:
                self._start(place)
            for place, worker in list(self._workers.items()):
                if worker.poll() == REFUSED:
                    return REFUSED
                if worker.poll() is not None:
                    self._lost(place, worker)
            time.sleep(LOOK_S)
        return 0

    def _start(self, place: int) -> None:
        env = {**os.environ, **self._settings.to_env(), SHARED: str(self._metrics)}
        command = [sys.executable, "-m", "app.worker", str(place)]
        # Its stdin ends when this process does, however that happens: no worker outlives its parent.
        self._workers[place] = subprocess.Popen(command, stdin=subprocess.PIPE, env=env)  # noqa: S603 - our own module
        del self._due[place]

    def _lost(self, place: int, worker: subprocess.Popen[bytes]) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        logger.error("worker %d ended with status %s and is started again", worker.pid, worker.returncode)
        mark_process_dead(worker.pid, str(self._metrics))  # type: ignore[no-untyped-call] # not annotated there
        Balance(self._metrics / FILE, place, self._settings.workers).note(AWAY)
        del self._workers[place]
        self._due[place] = time.monotonic() + RESTART_S

    def _end(self, *_: object) -> None:
        self._ending = True

    def _stop(self) -> None:
        """End all workers: gracefully, then not."""
        for worker in self._workers.values():
            worker.terminate()
        end = time.monotonic() + self._settings.drain_s + GRACE_S
        for worker in self._workers.values():
            try:
                worker.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
