"""The HTTP server process: Granian around the ASGI application."""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib.util
import logging
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings

from fileplane.addresses import parse_address
from fileplane.data_directory import FirstStart, ServerLock, StartRefused, prepare_data_directory
from fileplane.errors import AnswerBrokenOff
from fileplane.logs import configure_logging
from fileplane.metrics import stop_metrics
from fileplane.metrics_directory import metrics_directory, remove_metrics_directory
from fileplane.metrics_listener import bind_metrics, metrics_told
from fileplane.providers.overriding import require_known
from fileplane.setting_sources import misspelt_variables
from fileplane.settings import Settings
from fileplane.stop_signals import hold_stop_signals

if TYPE_CHECKING:
    from fileplane.app import Application

_LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"not_told_yet": {"()": "fileplane.logs.NotToldYet", "told": AnswerBrokenOff.__name__}},
    "handlers": {"fileplane": {"class": "fileplane.logs.JsonHandler", "filters": ["not_told_yet"]}},
    "loggers": {"_granian": {"level": "WARNING", "handlers": ["fileplane"], "propagate": False}},
}

TRACING_PACKAGES: Final = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
"""What the extra ``tracing`` consists of."""
_TRACING_MODULES: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
_PARENT_CHECK_SECONDS: Final = 1.0
_DESCRIPTORS: Final = 65_536
_FEWEST_CONNECTIONS: Final = 128
_SWITCH_SECONDS: Final = 0.0005
_ARENA_MAX: Final = -8  # M_ARENA_MAX of malloc.h
_ARENAS: Final = 2
_READ_BUFFER: Final = 1 << 20  # a connection; fewer, larger pieces of a body cost less in all. A head may be up to twice as large

_log = logging.getLogger(__name__)


def load_application(settings: Settings, supervisor: int) -> Application:
    """Runs in each worker, which alone needs the application: whoever supervises them, process ``supervisor``, starts without it."""
    hold_stop_signals()
    _share_arenas()
    from fileplane.app import create_application  # noqa: PLC0415 - see above

    # Threads that hash and write win the interpreter back after each call; at the default of 5 ms an upload mostly waits for that.
    sys.setswitchinterval(_SWITCH_SECONDS)
    application = create_application(settings)
    lock = ServerLock(settings.data_dir)
    lock.share()
    application.held_for_life = lock
    threading.Thread(target=_stop_with_parent, args=(supervisor,), name="fileplane-parent", daemon=True).start()
    # What was loaded stays: looking through all of it again and again would hold every request up for a tenth of a second each time.
    gc.collect()
    gc.freeze()
    return application


def _share_arenas() -> None:
    """Keeps what threads have freed for all of them. glibc keeps it for each thread, which with megabytes at a time is much in sum.

    mallopt(3). It holds for what is allocated from now on; elsewhere than with glibc there is no such call.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def _stop_with_parent(parent: int) -> None:
    """Drains this worker when the process that supervises it was killed: it would otherwise keep port and data directory for ever.

    That may have happened before this worker was ready, when its parent is already another.
    """
    time.sleep(_PARENT_CHECK_SECONDS)
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    stop_metrics()
    remove_metrics_directory()
    os.kill(os.getpid(), signal.SIGTERM)


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains: transfers in flight may finish within ``drain_seconds``.

    Prints the URL, and at first start the API key, to standard output. Raises :class:`StartRefused` or
    :class:`~fileplane.metadata.base.DatabaseUnusable` when it cannot start.
    """
    # Forked workers would inherit threads that are not running and descriptors that are not theirs.
    multiprocessing.set_start_method("spawn", force=True)
    configure_logging(settings.log_level)
    for complaint in misspelt_variables(os.environ):
        _log.warning("%s", complaint)
    os.umask(0o077)
    _raise_descriptor_limit()
    _require_usable_certificate(settings)
    _require_free_port(settings)
    _require_tracing_libraries(settings)
    require_known(settings.provider_overrides)
    _require_free_metrics_address(settings)
    lock, first_start = prepare_data_directory(settings)
    _announce(settings, first_start)
    server = Granian(
        "fileplane",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        # Connections a worker serves at once. Without it a thousand silent ones would keep everybody else waiting.
        backpressure=_connections(),
        loop=Loops.auto,
        http=HTTPModes.http1,  # telling HTTP/2 apart would leave silent connections without a deadline
        websockets=False,
        http1_settings=HTTP1Settings(header_read_timeout=int(settings.head_seconds * 1000), max_buffer_size=_READ_BUFFER),
        log_dictconfig=_LOGGING,
        ssl_cert=settings.tls_cert,
        ssl_key=settings.tls_key,
        workers_kill_timeout=settings.drain_seconds,
        respawn_failed_workers=True,
    )
    shared = settings.workers > 1 or settings.metrics_address is not None
    with metrics_directory(needed=shared), metrics_told(_bind_metrics(settings)):
        server.serve(target_loader=functools.partial(load_application, settings, os.getpid()), wrap_loader=False)
    del lock


def base_url(settings: Settings) -> str:
    """Where this server can be reached from the machine it runs on."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - what to show, not what to bind
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{'https' if settings.tls_cert else 'http'}://{shown}:{settings.port}/v1"


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _connections() -> int:
    """As many as there are descriptors for, each with a file of its own and some to spare."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_FEWEST_CONNECTIONS, soft // 4)


def _require_usable_certificate(settings: Settings) -> None:
    if settings.tls_cert is None:
        return
    try:
        # An encrypted key would be asked for at the terminal; the empty password makes it fail instead.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except (OSError, ValueError) as error:
        raise StartRefused(
            f"The TLS certificate {settings.tls_cert} with the key {settings.tls_key} cannot be used: {error}. "
            "Both must be PEM files, the key belonging to the certificate and without a password."
        ) from error


def _require_free_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        raise StartRefused(
            f"Cannot listen on {settings.host} port {settings.port}: {error.strerror or error}. Choose another with --host and --port."
        ) from error


def _require_free_metrics_address(settings: Settings) -> None:
    if settings.metrics_address is not None and parse_address(settings.metrics_address)[1] == settings.port:
        raise StartRefused(f"metrics_address and the API cannot both have port {settings.port}. Choose another metrics_address.")
    probe = _bind_metrics(settings)
    if probe is not None:
        probe.close()


def _bind_metrics(settings: Settings) -> socket.socket | None:
    if settings.metrics_address is None:
        return None
    try:
        return bind_metrics(*parse_address(settings.metrics_address))
    except OSError as error:
        raise StartRefused(
            f"Cannot tell the metrics on {settings.metrics_address}: {error.strerror or error}. Choose another metrics_address, or none."
        ) from error


def _require_tracing_libraries(settings: Settings) -> None:
    if settings.otlp_endpoint is None:
        return
    for module in _TRACING_MODULES:
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise StartRefused(
                f"otlp_endpoint is set, but traces need libraries that are not installed ({module}). Install them with "
                f"`{sys.executable} -m pip install {' '.join(TRACING_PACKAGES)}`, which is what the extra fileplane[tracing] has, or set "
                "no otlp_endpoint."
            )


def _first_call(url: str, key: str, *, with_keys: bool) -> str:
    if with_keys:
        return f'curl {url}/files -H "Authorization: Bearer {key}" -F purpose=user_data -F file=@README.md'
    return f'curl {url}/files -H "x-portkey-provider: openai" -H "Authorization: Bearer $OPENAI_API_KEY"'


def _announce(settings: Settings, first_start: FirstStart) -> None:
    url, shown_key = base_url(settings), first_start.shown_key
    lines = [f"Fileplane serves {url} from {settings.data_dir.absolute()}"]
    if shown_key is not None:
        lines += [
            "",
            "A first API key was made. It is shown this once and kept only as a hash:",
            "",
            f"    {shown_key}",
            "",
            "Try it:",
            "",
            f"    {_first_call(url, shown_key, with_keys=settings.auth == 'keys')}",
        ]
    elif first_start.made:
        lines += ["", "The first API key is the one in FILEPLANE_BOOTSTRAP_API_KEY."]
    if first_start.master_key is not None:
        lines += [
            "",
            f"A master key was made in {first_start.master_key.absolute()}: it encrypts the providers' credentials that are stored.",
            "Keep a copy of it apart from the backups, which never hold it: without it those credentials are lost.",
        ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
