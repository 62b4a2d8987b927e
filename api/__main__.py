"""``python -m api``: serve the API until SIGTERM, then finish what has begun."""

import uvicorn

from api.app import create_app
from observability import configure_logging
from settings import read_settings


def main() -> None:
    settings = read_settings()
    configure_logging(settings)
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.shutdown_timeout.total_seconds()),
    )


if __name__ == "__main__":
    main()
