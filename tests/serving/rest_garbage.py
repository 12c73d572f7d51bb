"""Strategies of requests over REST, most of them wrong."""

import base64
import json
import urllib.parse

from hypothesis import strategies as st

from tests.serving.garbage import (
    MAX_BATCH_SIZE,
    MAX_REQUEST_BYTES,
    MODEL,
    SIGNATURES,
    Request,
    arrays,
    signatures,
)

json_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.builds(lambda data: {"b64": base64.b64encode(data).decode()}, st.binary(max_size=20)),
    st.builds(lambda text: {"b64": text}, st.text(max_size=8)),
)
json_values = st.recursive(
    json_leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
# As a part of a path.
names = st.text(min_size=1, max_size=30).map(lambda text: urllib.parse.quote(text, safe=""))
unknown_names = names.filter(lambda name: urllib.parse.unquote(name) != MODEL)


def nested(array):
    return array.tolist()


def with_leaf(value, leaf):
    """Nested lists with another first entry."""
    if isinstance(value, list):
        return [with_leaf(value[0], leaf), *value[1:]]
    return leaf


def predict_path(model=MODEL, suffix=""):
    return f"/v1/models/{model}{suffix}:predict"


@st.composite
def rest_requests(draw):
    """A request over REST."""
    kind = draw(st.sampled_from(sorted(REST_KINDS)))
    signature = draw(signatures)
    array = draw(arrays(signature))
    name = SIGNATURES[signature][0]
    document = {"signature_name": signature, "inputs": {name: nested(array)}}
    request = {"method": "POST", "path": predict_path(), "headers": ()}
    request.update(REST_KINDS[kind](draw, document, name))
    body = request.pop("body", None)
    allowed = frozenset(request.pop("allowed"))
    body = json.dumps(document).encode() if body is None else body
    return Request(kind=kind, body=body, allowed=allowed, **request)


def _valid(draw, document, name):
    value = document["inputs"][name]
    forms = [
        {},
        {"inputs": value},
        {"instances": value},
        {"instances": [{name: row} for row in value]},
        # Further inputs are ignored, as in TF Serving.
        {"inputs": {name: value, "more": 1}},
    ]
    form = draw(st.sampled_from(forms))
    if form:
        del document["inputs"]
        document.update(form)
    return {"allowed": {200}}


def _change(draw, document, name, change):
    document["inputs"][name] = change(document["inputs"][name])
    return {"allowed": {400}}


def _wrong_leaf(draw, document, name):
    leaf = draw(st.one_of(st.none(), st.booleans(), st.text(max_size=5), st.just({}), st.just([])))
    return _change(draw, document, name, lambda value: with_leaf(value, leaf))


def _wrong_integer(draw, document, name):
    document["signature_name"] = "sample"
    leaf = draw(st.one_of(st.integers(2**31), st.integers(max_value=-(2**31) - 1), st.just(0.5)))
    document["inputs"] = {"seed": [[leaf, 0]]}
    return {"allowed": {400}}


def _wrong_shape(draw, document, name):
    changes = [
        lambda value: [value],
        lambda value: value[0],
        lambda value: [[*row, row[0]] for row in value],
        lambda value: [*value, value],
        lambda value: [[], *value],
        lambda value: 0,
        lambda value: {},
    ]
    return _change(draw, document, name, draw(st.sampled_from(changes)))


def _not_finite(draw, document, name):
    leaf = draw(st.sampled_from([float("nan"), float("inf"), float("-inf")]))
    document.update(signature_name="decode", inputs={"latents": [[0.0, leaf, 0.0, 0.0]]})
    return {"allowed": {200}}


def _truncated(draw, document, name):
    body = json.dumps(document).encode()
    return {"body": body[: draw(st.integers(0, len(body) - 1))], "allowed": {400}}


def _flipped(draw, document, name):
    body = bytearray(json.dumps(document).encode())
    body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return {"body": bytes(body), "allowed": {200, 400}}


def _deep(draw, document, name):
    depth = draw(st.sampled_from([30, 70, 1000, 100_000]))
    opening = draw(st.sampled_from(["[", '{"a":', '{"inputs":[']))
    return {"body": (opening * depth).encode()[: MAX_REQUEST_BYTES - 1], "allowed": {400}}


def _any_inputs(draw, document, name):
    key = draw(st.sampled_from(["inputs", "instances"]))
    # Of rank 0 or 1, or ragged, or strings: never what a signature takes, but for rows of none.
    document = {"signature_name": document["signature_name"], key: draw(json_values)}
    return {"body": json.dumps(document).encode(), "allowed": {400}}


def _other_signature(draw, document, name):
    other = draw(st.text(min_size=1).filter(lambda text: text not in SIGNATURES))
    document["signature_name"] = other
    return {"allowed": {400} if other != "serving_default" else {200, 400}}


def _other_name(draw, document, name):
    other = draw(st.text().filter(lambda text: text != name))
    document["inputs"] = draw(st.sampled_from([{other: document["inputs"][name]}, {}]))
    return {"allowed": {400}}


def _other_model(draw, document, name):
    return {"path": predict_path(draw(unknown_names)), "allowed": {400, 404}}


def _other_version(draw, document, name):
    suffix = draw(
        st.one_of(
            st.integers(2, 2**63 - 1).map(lambda number: f"/versions/{number}"),
            st.integers(2**63).map(lambda number: f"/versions/{number}"),
            names.map(lambda text: f"/versions/v{text}"),
            names.map(lambda text: f"/labels/{text}"),
        )
    )
    return {"path": predict_path(suffix=suffix), "allowed": {400, 404}}


def _large_batch(draw, document, name):
    count = draw(st.integers(MAX_BATCH_SIZE + 1, 60))
    return _change(draw, document, name, lambda value: [value[0]] * count)


def _large_body(draw, document, name):
    size = draw(st.integers(MAX_REQUEST_BYTES + 1, 2 * MAX_REQUEST_BYTES))
    return {"body": bytes(size), "allowed": {413}}


def _other_path(draw, document, name):
    path = "/" + "/".join(draw(st.lists(names, max_size=5)))
    if draw(st.booleans()):
        return {"path": path, "allowed": {400, 404}}
    # "/" is the page.
    return {"method": "GET", "path": path, "allowed": {200} if path == "/" else {400, 404}}


def _other_method(draw, document, name):
    method = draw(st.sampled_from(["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "HEAD"]))
    return {"method": method, "allowed": {400, 404, 405, 501}}


def _other_verb(draw, document, name):
    verb = draw(st.sampled_from(["classify", "regress", "explain", "predict:predict"]))
    return {"path": f"/v1/models/{MODEL}:{verb}", "allowed": {400, 501}}


def _questions(draw, document, name):
    what = draw(st.sampled_from(["", "/metadata"]))
    model = draw(st.one_of(st.just(MODEL), unknown_names))
    allowed = {200} if model == MODEL else {400, 404}
    return {"method": "GET", "path": f"/v1/models/{model}{what}", "body": b"", "allowed": allowed}


def _wrong_length(draw, document, name):
    header = draw(
        st.sampled_from(
            [
                ("Content-Length", "-1"),
                ("Content-Length", "many"),
                ("Content-Length", "9" * 30),
                ("Transfer-Encoding", "chunked"),
            ]
        )
    )
    return {"headers": (header,), "allowed": {400, 411, 413}}


REST_KINDS = {
    "valid": _valid,
    "random bytes": lambda draw, *_: {"body": draw(st.binary()), "allowed": {400}},
    "random JSON": lambda draw, *_: {
        "body": json.dumps(draw(json_values)).encode(),
        "allowed": {400},
    },
    "random inputs": _any_inputs,
    "truncated": _truncated,
    "a flipped byte": _flipped,
    "deeply nested": _deep,
    "wrong entry": _wrong_leaf,
    "wrong integer": _wrong_integer,
    "wrong shape": _wrong_shape,
    "not finite": _not_finite,
    "unknown signature": _other_signature,
    "unknown input": _other_name,
    "unknown model": _other_model,
    "unknown version": _other_version,
    "large batch": _large_batch,
    "large body": _large_body,
    "unknown path": _other_path,
    "unknown method": _other_method,
    "unknown verb": _other_verb,
    "status and metadata": _questions,
    "wrong length": _wrong_length,
}
