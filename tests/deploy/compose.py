"""``docker-compose.yml`` as Compose itself reads it, without an engine."""

import json
import os
import subprocess
import sysconfig
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

Json = dict[str, Any]

CHECKOUT = Path(__file__).resolve().parent.parent.parent
_PROGRAM = Path(sysconfig.get_path("scripts")) / "docker-compose"


@dataclass(frozen=True)
class Compose:
    """The services, with every default, reference and variable filled in."""

    services: dict[str, Json]
    document: Json

    @cached_property
    def own(self) -> dict[str, Json]:
        """Those that run Baton's image."""
        return {name: service for name, service in self.services.items() if "build" in service}

    def targets(self, service: str) -> list[str]:
        """Names of the secrets a service finds in /run/secrets."""
        return [Path(secret["target"]).name for secret in self.services[service].get("secrets", ())]

    def mounted(self, service: str, target: str) -> Path:
        """The file of this checkout that the service finds at ``target``."""
        [volume] = [each for each in self.services[service]["volumes"] if each["target"] == target]
        assert volume["read_only"]
        return Path(volume["source"])


def read(**variables: str) -> Compose:
    """What ``docker-compose config`` makes of the file; fails where that complains."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    command: list[str | Path] = [_PROGRAM, "--file", CHECKOUT / "docker-compose.yml", "config", "--format", "json"]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    document: Json = json.loads(done.stdout)
    return Compose(document["services"], document)
