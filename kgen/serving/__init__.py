"""A model as a SavedModel with named signatures, published for TF Serving, and its client."""

from kgen.png import encode_png
from kgen.serving.client import Client
from kgen.serving.exporting import export
from kgen.serving.loading import read_signatures, run_requests, run_signatures
from kgen.serving.publishing import check_writable, list_versions, prune, rollback
from kgen.serving.transport import ServingError

__all__ = [
    "Client",
    "ServingError",
    "check_writable",
    "encode_png",
    "export",
    "list_versions",
    "prune",
    "read_signatures",
    "rollback",
    "run_requests",
    "run_signatures",
]
