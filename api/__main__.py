"""``python -m api``: serve the API until SIGTERM, then finish what has begun."""

import uvicorn

from api.app import create_app
from observability import configure_logging
from settings import read_settings
from telemetry import start_api_metrics, start_tracing


def main() -> None:
    settings = read_settings()
    configure_logging(settings)
    tracing, metrics = start_tracing(settings, "baton-api"), start_api_metrics(settings)
    try:
        uvicorn.run(
            create_app(settings, tracing, metrics),
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


if __name__ == "__main__":
    main()
