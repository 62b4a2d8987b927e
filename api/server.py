"""Serve the API until SIGTERM, then finish what has begun."""

import signal

import uvicorn
from temporalio.runtime import Runtime

from api.app import create_app
from garbage_collection import spare_what_is_loaded
from observability import configure_logging
from settings import read_settings
from telemetry import api_runtime, start_api_metrics
from tracing import start_tracing


def _leave(*_: object) -> None:
    """Exit well; whatever is still to be put away is."""
    raise SystemExit(0)


def main() -> None:
    # Once it has drained, uvicorn sends itself the signal again, which by default ends the process on the spot:
    # without what comes after it, and as if it had failed.
    signal.signal(signal.SIGTERM, _leave)
    settings = read_settings()
    configure_logging(settings)
    Runtime.set_default(api_runtime(settings))
    tracing, metrics = start_tracing(settings, "baton-api"), start_api_metrics(settings)
    try:
        app = create_app(settings, tracing, metrics)
        spare_what_is_loaded()
        uvicorn.run(
            app,
            host=settings.api_host,
            port=settings.api_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=round(settings.shutdown_timeout.total_seconds()),
        )
    finally:
        metrics.stop()
        tracing.stop()
