"""A client of TF Serving, over gRPC or REST."""

import functools
import pathlib
import random
import time
import urllib.parse
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from kgen.serving import inputs as request_inputs
from kgen.serving.transport import ServingError, Signature, VersionStatus

Result = TypeVar("Result")

# Seconds between attempts while a server is not available: doubled up to the cap.
FIRST_DELAY = 0.1
LONGEST_DELAY = 2.0


class Client:
    """Calls the signatures of one served model.

        with Client("localhost:8500", "vae") as client:
            images = client.sample(16, seed=0)
            latents = client.encode(images)

    Each signature is a method. It takes the number of rows, or its one input without a default, by
    position, and others by name; a value for one row is repeated for all. `seed` may be an int (or
    left out for a fresh one): image i is then that of `(seed, i)`, as from the model's own method
    in Python. It returns a NumPy array, or a dict of these if the signature has several outputs.

    Calls over `max_batch_size` rows are split, and all parts are answered by one version. While the
    server is not available, calls wait and try again. Threads may share a client.

    Args:
        address: "host:port" or "grpc://host:port" for gRPC, "grpcs://host:port" for gRPC over TLS;
            "http://host:port" or "https://host:port/prefix" for REST, whose JSON is slow for
            images.
        model: name of the model.
        version: number of the version to call; by default the newest that is available.
        timeout: seconds for a call, all of its parts and attempts together.
        max_batch_size: largest number of rows that the server takes; by default calls are not
            split.
        max_retries: attempts after the first one while the server is not available.
        token: sent as "Authorization: Bearer <token>". Use it with TLS.
        certificates: path of a PEM file of the certificates to trust; by default the system's.

    Raises:
        ValueError: an address of another kind, or numbers that are not positive.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        version: int | None = None,
        timeout: float = 60.0,
        max_batch_size: int | None = None,
        max_retries: int = 10,
        token: str | None = None,
        certificates=None,
    ):
        if timeout <= 0 or max_retries < 0 or (max_batch_size is not None and max_batch_size < 1):
            raise ValueError(
                "Expected timeout > 0, max_batch_size >= 1 or None and max_retries >= 0, received "
                f"{timeout}, {max_batch_size} and {max_retries}."
            )
        self.address = address
        self.model = model
        self.version = version
        self.timeout = timeout
        self.max_batch_size = max_batch_size
        self.max_retries = max_retries
        self._transport = _open(address, model, token=token, certificates=certificates)
        self._known_signatures: dict[str, Signature] | None = None

    def predict(self, signature: str, /, *given, **inputs) -> dict[str, np.ndarray]:
        """Runs a signature; as a method of its name does, but always returns a dict.

        Args:
            signature: its name, "serving_default" for the first.
            *given: the number of rows, or the one input without a default.
            **inputs: inputs by name.

        Returns:
            output name -> array; strings come as object arrays of bytes.

        Raises:
            TypeError: inputs that are missing, unknown or of another kind.
            ValueError: no such signature, or shapes that do not fit.
            ServingError: the server's refusal, or no answer in time.
        """
        deadline = time.monotonic() + self.timeout
        known, arrays = self._prepare(signature, given, inputs, deadline)
        num_rows = len(next(iter(arrays.values())))
        size = self.max_batch_size or max(num_rows, 1)
        parts = [
            {key: array[start : start + size] for key, array in arrays.items()}
            for start in range(0, max(num_rows, 1), size)
        ]
        try:
            if len(parts) == 1:
                return self._run(signature, known, parts[0], self.version, deadline)
            results = self._run_on_one_version(signature, known, parts, deadline)
        except ServingError:
            self._known_signatures = None  # A new version may have others.
            raise
        return {key: np.concatenate([result[key] for result in results]) for key in results[0]}

    def signatures(self) -> dict[str, Signature]:
        """Asks for the signatures: name -> `inputs` and `outputs`, each name -> dtype and shape.

        Raises:
            ServingError: the server's refusal, or no answer in time.
        """
        return self._fetch_signatures(time.monotonic() + self.timeout)

    def status(self) -> list[VersionStatus]:
        """Asks for the states of the model's versions, the newest first.

        Raises:
            ServingError: the server's refusal, or no answer in time.
        """
        return self._fetch_status(time.monotonic() + self.timeout)

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __getattr__(self, name: str):
        """A signature as a method."""
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return functools.partial(self._call, name)

    def _call(self, signature: str, /, *given, **inputs):
        outputs = self.predict(signature, *given, **inputs)
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def _prepare(self, name: str, given: tuple, inputs: dict, deadline: float):
        signatures = self._known_signatures
        if signatures is not None:
            try:
                known = _find(name, signatures)
                return known, request_inputs.complete(name, known, given, inputs)
            except (TypeError, ValueError):
                pass  # Perhaps right for a version that was published since.
        known = _find(name, self._fetch_signatures(deadline))
        return known, request_inputs.complete(name, known, given, inputs)

    def _run_on_one_version(
        self, name: str, known: Signature, parts: list, deadline: float
    ) -> list:
        version = None
        while True:
            before, version = version, self.version or self._newest_version(deadline)
            try:
                return [self._run(name, known, part, version, deadline) for part in parts]
            except ServingError as error:
                # The version was taken out of service between two parts: all again, on another.
                if error.code != "NOT_FOUND" or version in (before, self.version):
                    raise

    def _newest_version(self, deadline: float) -> int:
        def newest(timeout):
            statuses = self._transport.status(version=None, timeout=timeout)
            available = [item.version for item in statuses if item.state == "AVAILABLE"]
            if not available:
                raise ServingError("UNAVAILABLE", f"No version of {self.model!r} is available.")
            return max(available)

        return self._retry(newest, deadline)

    def _run(self, name: str, known: Signature, arrays: dict, version: int | None, deadline: float):
        return self._retry(
            lambda timeout: self._transport.predict(
                name, known, arrays, version=version, timeout=timeout
            ),
            deadline,
        )

    def _fetch_signatures(self, deadline: float) -> dict[str, Signature]:
        self._known_signatures = self._retry(
            lambda timeout: self._transport.signatures(version=self.version, timeout=timeout),
            deadline,
        )
        return self._known_signatures

    def _fetch_status(self, deadline: float) -> list[VersionStatus]:
        statuses = self._retry(
            lambda timeout: self._transport.status(version=self.version, timeout=timeout), deadline
        )
        return sorted(statuses, reverse=True)

    def _retry(self, call: Callable[[float], Result], deadline: float) -> Result:
        """Calls with the seconds left, again and again while the server is not available."""
        delay = FIRST_DELAY
        for retries_left in range(self.max_retries, -1, -1):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ServingError("DEADLINE_EXCEEDED", f"No answer in {self.timeout} seconds.")
            try:
                return call(remaining)
            except ServingError as error:
                # All requests are repeatable: a result depends on the inputs alone.
                wait = random.uniform(0.5, 1.0) * delay
                if (
                    error.code != "UNAVAILABLE"
                    or not retries_left
                    or time.monotonic() + wait >= deadline
                ):
                    raise
                time.sleep(wait)
                delay = min(2 * delay, LONGEST_DELAY)


def _find(name: str, signatures: dict[str, Signature]) -> Signature:
    if name not in signatures:
        raise ValueError(f"No signature {name!r}: the model has {sorted(signatures)}.")
    return signatures[name]


def _open(address: str, model: str, *, token: str | None, certificates):
    """The transport of an address. Each brings its libraries, so it is imported here."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "grpc", address
    parsed = urllib.parse.urlsplit(f"//{rest}")
    pem = None if certificates is None else pathlib.Path(certificates).read_bytes()
    if scheme in ("http", "https") and parsed.hostname:
        from kgen.serving.rest_transport import RestTransport

        return RestTransport(address, model, certificates=pem, token=token)
    if scheme in ("grpc", "grpcs") and parsed.hostname and parsed.port and not parsed.path:
        from kgen.serving.grpc_transport import GrpcTransport

        return GrpcTransport(
            rest, model, encrypted=scheme == "grpcs", certificates=pem, token=token
        )
    raise ValueError(
        f"address: expected 'host:port', 'grpc://host:port', 'grpcs://host:port', 'http://...' or "
        f"'https://...', received {address!r}."
    )
