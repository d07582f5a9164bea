"""Certificates for tests: an authority, a server and a client that it has signed, and a stranger. Made by `openssl`."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")


@dataclass(frozen=True)
class KeyPair:
    """PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; its files are in `folder`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = name
        pair = KeyPair(folder / f"{name}.crt", folder / f"{name}.key")
        self.certificate, self._key = pair.certificate, pair.key
        _openssl("req", "-x509", *_new_key(pair.key), "-out", pair.certificate, "-subj", f"/CN={name}", "-days", "2")

    def signs(self, name: str, *, hosts: str = "DNS:localhost,IP:127.0.0.1") -> KeyPair:
        """A certificate for `name`, valid for these hosts."""
        pair = KeyPair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        signer = ["-CA", self.certificate, "-CAkey", self._key]
        _openssl(
            *("req", "-x509", *_new_key(pair.key), *signer, "-out", pair.certificate, "-subj", f"/CN={name}"),
            *("-days", "2", "-addext", f"subjectAltName={hosts}", "-addext", "basicConstraints=critical,CA:FALSE"),
        )
        return pair


def _new_key(path: Path) -> list[str | Path]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
