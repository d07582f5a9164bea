"""How a job's connections to its server are encrypted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tls:
    """TLS to the server. All files are PEM, and those of the TaskManagers' machines.

    Args:
        ca: File with the authorities that have signed the server's certificate; those of the JVM if left out.
        certificate: File with the job's own certificate, where the server asks for one (`--tls-client-ca`).
        key: File with its private key.
        server_name: The name in the server's certificate, if it is not the endpoint's host.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    server_name: str | None = None

    def options(self) -> dict[str, str | None]:
        """As keys of the configuration's section `agent`."""
        return {
            "tls.enabled": "true",
            "tls.ca": self.ca,
            "tls.certificate": self.certificate,
            "tls.key": self.key,
            "tls.server-name": self.server_name,
        }
