"""Strategies of requests that a server gets from mistaken, broken and hostile clients."""

import dataclasses

import numpy as np
from hypothesis import strategies as st

MODEL = "stand_in"
# signature -> input, shape of a row, type.
SIGNATURES = {
    "encode": ("images", (9, 7, 1), "float"),
    "decode": ("latents", (4,), "float"),
    "sample": ("seed", (2,), "int"),
    "sample_png": ("seed", (2,), "int"),
}
# Exports are warmed up for it.
MAX_BATCH_SIZE = 32
MAX_REQUEST_BYTES = 2**20

rows = st.integers(1, 8)
signatures = st.sampled_from(sorted(SIGNATURES))


@dataclasses.dataclass(frozen=True)
class Request:
    """A request and the statuses that may answer it.

    Attributes:
        kind: what is wrong with it.
        method: of HTTP, or of gRPC.
        body: what is sent.
        allowed: HTTP statuses, or names of gRPC statuses.
        path: of the URL.
        headers: further headers.
    """

    kind: str
    method: str
    body: bytes
    allowed: frozenset
    path: str = ""
    headers: tuple = ()


@st.composite
def arrays(draw, signature, num_rows=None):
    """A valid array for a signature."""
    _, shape, kind = SIGNATURES[signature]
    count = draw(rows) if num_rows is None else num_rows
    # All entries from one number: drawing each would take most of the time.
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    if kind == "int":
        return generator.integers(-(2**31), 2**31, (count, *shape)).astype(np.int32)
    return generator.random((count, *shape), np.float32)


# What is sent to either port, as it is: some bytes, others that many times, and more bytes.
raw_bytes = st.one_of(
    st.tuples(st.just(b""), st.binary(max_size=2000), st.just(1), st.just(b"")),
    st.tuples(
        st.sampled_from([b"POST /v1/models HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]),
        st.binary(max_size=500),
        st.just(1),
        st.just(b""),
    ),
    st.tuples(
        st.just(b"GET /"), st.binary(max_size=100), st.just(700), st.just(b" HTTP/1.1\r\n\r\n")
    ),
    st.tuples(
        st.just(b"GET / HTTP/1.1\r\n"),
        st.binary(max_size=20).map(lambda data: data + b": x\r\n"),
        st.just(200),
        st.just(b"\r\n"),
    ),
)
