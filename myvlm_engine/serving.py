"""The engine as a process: its options, where it listens, how it logs, and that it ends with its parent.

`python -m myvlm_engine.serving --port 8765`; `myvlm engine` calls `serve`. Knows nothing of the verbs.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import psutil
import structlog
import uvicorn

from .malloc import restart_with_large_blocks
from .service import Limits, create_app

if TYPE_CHECKING:
    from .engine import Engine

PARENT_CHECK_S = 1.0
GRACE_S = 3  # a running step may end; a teach goes on elsewhere from its last streamed embedding
TOKEN_VARIABLE = "MYVLM_ENGINE__TOKEN"  # not an option: options are seen by every user of the machine


@dataclass(frozen=True)
class Options:
    """How one engine process runs."""

    vlm: str = "pocket"
    encoders: tuple[str, ...] = ("embedded",)
    device: str = "auto"
    threads: int = 0  # 0: as torch (and OMP_NUM_THREADS) has it
    host: str = "127.0.0.1"
    port: int = 8765  # 0: any free one, printed
    uds: str | None = None  # a Unix socket's path, instead of host and port
    token: str = field(default="", repr=False)
    parent_pid: int | None = None
    log_level: str = "info"


class NotServed(Exception):
    """The engine can't be served like this; the message says what to change."""


def load(options: Options) -> Engine:
    """The models, in this process. The heavy imports happen here, on the models' thread."""
    from .engine import load_engine

    return load_engine(options.vlm, options.encoders, options.device, options.threads)


def serve(options: Options, limits: Limits = Limits(), load: Callable[[Options], Engine] = load) -> None:
    """Runs until SIGINT, SIGTERM or the parent's end. Prints `engine listening on ADDRESS` on a line of its own.
    Errors: NotServed."""
    if not options.uds and not options.token and not _is_loopback(options.host):
        raise NotServed(f"Everybody could use the engine on {options.host}. Set engine.token ({TOKEN_VARIABLE}) or listen on 127.0.0.1.")
    _configure_logs(options.log_level)
    app = create_app(lambda: load(options), token=options.token, limits=limits)
    config = uvicorn.Config(
        app, host=options.host, port=options.port, uds=options.uds, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S
    )
    try:
        listening = config.bind_socket()
    except (SystemExit, OSError) as error:  # uvicorn ends the process where the address is taken
        raise NotServed(f"{_address(options)} can't be listened on: is something else there? Choose another engine.port.") from error
    if not options.uds:
        options = replace(options, port=listening.getsockname()[1])
    listening.listen(config.backlog)  # uvicorn would only some moments later, and whoever reads the line connects at once
    print(f"engine listening on {_address(options)}", flush=True)
    if options.parent_pid:
        threading.Thread(target=_end_with, args=(options.parent_pid,), name="parent", daemon=True).start()
    uvicorn.Server(config).run(sockets=[listening])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(options: Options) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"unix:{options.uds}" if options.uds else f"http://{host}:{options.port}"


def _end_with(parent_pid: int) -> None:
    """Ends this process when the parent is gone: first politely, then at once."""
    while _runs(parent_pid):
        time.sleep(PARENT_CHECK_S)
    structlog.get_logger("myvlm.engine").info("parent_gone")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S + 2)
    os._exit(0)


def _runs(parent_pid: int) -> bool:
    """A direct parent that dies hands its children on, so its pid is no longer ours; another process is looked up."""
    if os.getppid() == parent_pid:
        return True
    try:
        return psutil.Process(parent_pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _configure_logs(level: str) -> None:
    terminal = sys.stderr.isatty()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of `python -m myvlm_engine.serving`."""
    plain = Options()
    about = f"The MyVLM engine over HTTP. {TOKEN_VARIABLE} in the environment is the bearer token it asks for."
    parser = argparse.ArgumentParser(prog="myvlm_engine.serving", description=about)
    parser.add_argument("--vlm", default=plain.vlm)
    parser.add_argument("--encoder", dest="encoders", action="append", help="may be given several times")
    parser.add_argument("--device", default=plain.device, help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--threads", type=int, default=plain.threads)
    parser.add_argument("--host", default=plain.host)
    parser.add_argument("--port", type=int, default=plain.port, help="0: any free one, printed")
    parser.add_argument("--uds", help="a Unix socket's path, instead of host and port")
    parser.add_argument("--parent-pid", type=int, help="end when this process ends")
    parser.add_argument("--log-level", default=plain.log_level, choices=["debug", "info", "warning", "error"])
    given = vars(parser.parse_args(argv))
    given["encoders"] = tuple(given["encoders"] or plain.encoders)
    try:
        serve(Options(**given, token=os.environ.get(TOKEN_VARIABLE, "")))
    except NotServed as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    restart_with_large_blocks()
    main()
