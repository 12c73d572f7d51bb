"""The errors of the server: a code of gRPC and a message, for both protocols."""

import enum

# TF Serving cuts there too: a status travels in HTTP/2 headers, whose size is limited.
MAX_STATUS_MESSAGE = 1024


class Code(enum.IntEnum):
    """gRPC's status codes, which are TensorFlow's, with the HTTP status that TF Serving gives."""

    OK = 0, 200
    CANCELLED = 1, 499
    UNKNOWN = 2, 500
    INVALID_ARGUMENT = 3, 400
    DEADLINE_EXCEEDED = 4, 504
    NOT_FOUND = 5, 404
    ALREADY_EXISTS = 6, 409
    PERMISSION_DENIED = 7, 403
    RESOURCE_EXHAUSTED = 8, 429
    FAILED_PRECONDITION = 9, 400
    ABORTED = 10, 409
    OUT_OF_RANGE = 11, 400
    UNIMPLEMENTED = 12, 501
    INTERNAL = 13, 500
    UNAVAILABLE = 14, 503
    DATA_LOSS = 15, 500
    UNAUTHENTICATED = 16, 401

    def __new__(cls, value: int, http_status: int):  # noqa: D102
        member = int.__new__(cls, value)
        member._value_ = value
        member.http_status = http_status
        return member


class ServingError(Exception):
    """What a client is told.

    Args:
        code: status code.
        message: what was expected, and what came.
    """

    def __init__(self, code: Code, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    def short_message(self) -> str:
        """The message, at most `MAX_STATUS_MESSAGE` characters."""
        if len(self.message) <= MAX_STATUS_MESSAGE:
            return self.message
        return self.message[:MAX_STATUS_MESSAGE] + "...TRUNCATED"


def invalid(message: str) -> ServingError:
    """An INVALID_ARGUMENT, the most frequent error."""
    return ServingError(Code.INVALID_ARGUMENT, message)
