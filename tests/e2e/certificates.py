"""Certificates that a test makes for itself with the program `openssl`."""

import pathlib
import subprocess

DAYS = "2"


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """Signs certificates; its own is in `path`, PEM."""

    def __init__(self, folder: pathlib.Path, name: str):
        self._folder, self._name = folder, name
        self.path, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS,
                 "-subj", f"/CN={name}", "-keyout", str(self._key), "-out", str(self.path))

    def root(self) -> bytes:
        return self.path.read_bytes()

    def issue(self, name: str) -> tuple[pathlib.Path, pathlib.Path]:
        """Certificate and key, PEM, for `name` and for 127.0.0.1."""
        stem = f"{self._name}-{name}"
        request, names = self._folder / f"{stem}.csr", self._folder / f"{stem}.ext"
        certificate, key = self._folder / f"{stem}.crt", self._folder / f"{stem}.key"
        names.write_text(f"subjectAltName=DNS:{name},IP:127.0.0.1\n")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                 "-keyout", str(key), "-out", str(request))
        _openssl("x509", "-req", "-in", str(request), "-CA", str(self.path), "-CAkey", str(self._key),
                 "-CAcreateserial", "-days", DAYS, "-extfile", str(names), "-out", str(certificate))
        return certificate, key
