"""Strategies of requests over gRPC, most of them wrong."""

import numpy as np
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from tests.serving.garbage import (
    MAX_BATCH_SIZE,
    MAX_REQUEST_BYTES,
    MODEL,
    SIGNATURES,
    Request,
    arrays,
    signatures,
)

PREDICT, STATUS, METADATA = (
    "/tensorflow.serving.PredictionService/Predict",
    "/tensorflow.serving.ModelService/GetModelStatus",
    "/tensorflow.serving.PredictionService/GetModelMetadata",
)


@st.composite
def grpc_requests(draw):
    """A request over gRPC."""
    kind = draw(st.sampled_from(sorted(GRPC_KINDS)))
    signature = draw(signatures)
    array = draw(arrays(signature))
    name = SIGNATURES[signature][0]
    message = predict_pb2.PredictRequest()
    message.model_spec.name = MODEL
    message.model_spec.signature_name = signature
    message.inputs[name].CopyFrom(to_proto(array))
    request = {"method": PREDICT, "body": None}
    request.update(GRPC_KINDS[kind](draw, message, name))
    body = request.pop("body")
    body = message.SerializeToString() if body is None else body
    return Request(kind=kind, body=body, allowed=frozenset(request.pop("allowed")), **request)


def to_proto(array):
    proto = tensor_pb2.TensorProto()
    proto.dtype = types_pb2.DT_INT32 if array.dtype == np.int32 else types_pb2.DT_FLOAT
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = array.tobytes()
    return proto


def _wrong_type(draw, message, name):
    valid = message.inputs[name].dtype
    dtypes = sorted(set(types_pb2.DataType.values()) | {999, -5})
    dtype = draw(st.sampled_from(dtypes).filter(lambda item: item != valid))
    # An enumeration of proto3 takes any number.
    message.inputs[name].dtype = dtype
    return {"allowed": {"INVALID_ARGUMENT"}}


def _wrong_dims(draw, message, name):
    shape = message.inputs[name].tensor_shape
    valid = [dim.size for dim in shape.dim]
    sizes = st.one_of(st.integers(-3, 10), st.integers(-(2**63), 2**63 - 1))
    dims = draw(st.lists(sizes, max_size=40).filter(lambda found: found != valid))
    shape.ClearField("dim")
    for size in dims:
        shape.dim.add(size=size)
    return {"allowed": {"INVALID_ARGUMENT"}}


def _wrong_content(draw, message, name):
    valid = len(message.inputs[name].tensor_content)
    content = draw(st.binary(min_size=1).filter(lambda found: len(found) != valid))
    message.inputs[name].tensor_content = content
    return {"allowed": {"INVALID_ARGUMENT"}}


def _values(draw, message, name):
    proto = message.inputs[name]
    count = len(proto.tensor_content) // 4
    proto.tensor_content = b""
    given = draw(st.integers(0, count + 3))
    field = proto.float_val if proto.dtype == types_pb2.DT_FLOAT else proto.int_val
    field.extend([draw(st.integers(0, 9))] * given)
    # Fewer mean that the last one is repeated.
    return {"allowed": {"OK"} if given <= count else {"INVALID_ARGUMENT"}}


def _not_finite_content(draw, message, name):
    message.model_spec.signature_name = "decode"
    values = draw(st.lists(st.floats(width=32), min_size=4, max_size=4))
    message.ClearField("inputs")
    message.inputs["latents"].CopyFrom(to_proto(np.array([values], np.float32)))
    return {"allowed": {"OK"}}


def _more_inputs(draw, message, name):
    message.inputs[draw(st.text().filter(lambda text: text != name))].CopyFrom(message.inputs[name])
    if draw(st.booleans()):
        del message.inputs[name]
    return {"allowed": {"INVALID_ARGUMENT"}}


def _no_inputs(draw, message, name):
    message.ClearField("inputs")
    return {"allowed": {"INVALID_ARGUMENT"}}


def _unknown_signature(draw, message, name):
    known = {*SIGNATURES, "serving_default", ""}
    message.model_spec.signature_name = draw(st.text().filter(lambda text: text not in known))
    return {"allowed": {"FAILED_PRECONDITION", "INVALID_ARGUMENT"}}


def _unknown_model(draw, message, name):
    message.model_spec.name = draw(st.text().filter(lambda text: text != MODEL))
    return {"allowed": {"NOT_FOUND", "INVALID_ARGUMENT"}}


def _unknown_version(draw, message, name):
    if draw(st.booleans()):
        numbers = st.integers(-(2**63), 2**63 - 1).filter(lambda number: number != 1)
        message.model_spec.version.value = draw(numbers)
    else:
        message.model_spec.version_label = draw(st.text())
    return {"allowed": {"NOT_FOUND", "INVALID_ARGUMENT"}}


def _unknown_output(draw, message, name):
    message.output_filter.extend(draw(st.lists(st.text(), min_size=1, max_size=3)))
    return {"allowed": {"INVALID_ARGUMENT"}}


def _large_batch_proto(draw, message, name):
    signature = message.model_spec.signature_name
    array = draw(arrays(signature, draw(st.integers(MAX_BATCH_SIZE + 1, 60))))
    message.inputs[name].CopyFrom(to_proto(array))
    return {"allowed": {"INVALID_ARGUMENT"}}


def _large_message(draw, message, name):
    size = draw(st.integers(MAX_REQUEST_BYTES + 1, 2 * MAX_REQUEST_BYTES))
    message.inputs[name].tensor_content = bytes(size)
    return {"allowed": {"RESOURCE_EXHAUSTED"}}


def _huge_shape(draw, message, name):
    """A few bytes that ask for gigabytes."""
    proto = tensor_pb2.TensorProto(dtype=message.inputs[name].dtype)
    for size in draw(st.lists(st.integers(2**16, 2**40), min_size=2, max_size=4)):
        proto.tensor_shape.dim.add(size=size)
    message.inputs[name].CopyFrom(proto)
    return {"allowed": {"INVALID_ARGUMENT"}}


def _random_bytes(draw, message, name):
    # Bytes that are no message are refused by gRPC itself, as INTERNAL; some are a message.
    allowed = {"INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND"}
    method = draw(st.sampled_from([PREDICT, STATUS, METADATA]))
    return {"method": method, "body": draw(st.binary()), "allowed": allowed}


def _flipped_byte(draw, message, name):
    body = bytearray(message.SerializeToString())
    body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    allowed = {"OK", "INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"}
    return {"body": bytes(body), "allowed": allowed}


def _unknown_method(draw, message, name):
    method = draw(st.sampled_from(["Predict2", "Classify", "Regress", "MultiInference"]))
    method = f"/tensorflow.serving.PredictionService/{method}"
    return {"method": method, "allowed": {"UNIMPLEMENTED", "INTERNAL"}}


def _grpc_questions(draw, message, name):
    model = draw(st.one_of(st.just(MODEL), st.text()))
    method = draw(st.sampled_from([STATUS, METADATA]))
    allowed = {"OK"} if model == MODEL else {"NOT_FOUND", "INVALID_ARGUMENT"}
    if method == STATUS:
        question = get_model_status_pb2.GetModelStatusRequest()
    else:
        question = get_model_metadata_pb2.GetModelMetadataRequest()
        question.metadata_field.append(draw(st.one_of(st.just("signature_def"), st.text())))
        if question.metadata_field[0] != "signature_def":
            allowed = {"NOT_FOUND", "INVALID_ARGUMENT"}
    question.model_spec.name = model
    return {"method": method, "body": question.SerializeToString(), "allowed": allowed}


GRPC_KINDS = {
    "valid": lambda draw, *_: {"allowed": {"OK"}},
    "wrong type": _wrong_type,
    "wrong shape": _wrong_dims,
    "wrong content": _wrong_content,
    "values": _values,
    "not finite": _not_finite_content,
    "more inputs": _more_inputs,
    "no inputs": _no_inputs,
    "unknown signature": _unknown_signature,
    "unknown model": _unknown_model,
    "unknown version": _unknown_version,
    "unknown output": _unknown_output,
    "large batch": _large_batch_proto,
    "large message": _large_message,
    "huge shape": _huge_shape,
    "random bytes": _random_bytes,
    "a flipped byte": _flipped_byte,
    "unknown method": _unknown_method,
    "status and metadata": _grpc_questions,
}
