"""Runs a SavedModel through TensorFlow's C API: the loader that TF Serving uses.

A module of `kgen.serving.local`, and a program, which `kgen.serving.loading` starts by its path as

    python c_api.py JOB_DIRECTORY

because `import kgen` would import Python's TensorFlow, which repairs what the C++ loader cannot
load. Only the standard library and NumPy may be imported here.

The job directory holds `job.json`, `inputs.npz`, and afterwards `outputs.npz`:

    job.json  {"saved_model": path, "requests": [{"signature": name,
              "inputs": {name: graph tensor}, "outputs": {name: graph tensor}}]}
    *.npz     "<request index>/<name>": an array. A string tensor is two of them: ".bytes" (uint8,
              all strings joined) and ".lengths" (int64, with the shape of the tensor).
"""

import contextlib
import ctypes
import importlib.util
import json
import pathlib
import sys

import numpy as np

STRING = 7  # TF_STRING of tf_datatype.h
NUMPY_TYPES = {1: np.dtype(np.float32), 3: np.dtype(np.int32), 4: np.dtype(np.uint8)}
TENSOR_TYPES = {dtype: code for code, dtype in NUMPY_TYPES.items()}

SLOW_FUNCTIONS = (
    "TF_LoadSessionFromSavedModel",
    "TF_SessionRun",
    "TF_CloseSession",
    "TF_DeleteSession",
    "TF_DeleteGraph",
)

Pointer = ctypes.c_void_p


class TensorFlowError(RuntimeError):
    """A failure that TensorFlow reported; `code` is its `absl::StatusCode`."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class Buffer(ctypes.Structure):
    """TF_Buffer: a serialized message."""

    _fields_ = [("data", ctypes.c_char_p), ("length", ctypes.c_size_t), ("deallocator", Pointer)]


class GraphTensor(ctypes.Structure):
    """TF_Output: an operation and the index of one of its outputs."""

    _fields_ = [("operation", Pointer), ("index", ctypes.c_int)]


class StringSlot(ctypes.Structure):
    """TF_TString: 24 bytes whose meaning belongs to the TF_String functions."""

    _fields_ = [("raw", ctypes.c_uint8 * 24)]


def load_library() -> ctypes.CDLL:
    """Opens libtensorflow_cc of the installed TensorFlow without importing the package."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("TensorFlow is not installed in this Python environment.")
    folder = pathlib.Path(spec.submodule_search_locations[0])
    libraries = []
    # The framework library goes first and global: the C API resolves its symbols from there.
    for stem in ("libtensorflow_framework", "libtensorflow_cc"):
        matches = sorted(path for path in folder.glob(f"{stem}.*2*") if path.is_file())
        if not matches:
            raise RuntimeError(f"No {stem} was found in {folder}: reinstall TensorFlow.")
        libraries.append(ctypes.CDLL(str(matches[0]), mode=ctypes.RTLD_GLOBAL))
    # Other threads may run Python during the slow functions. The quick ones keep the interpreter:
    # a server with many threads would else change threads at each of them.
    library = ctypes.PyDLL(libraries[-1]._name)
    for name in SLOW_FUNCTIONS:
        setattr(library, name, getattr(libraries[-1], name))
    size, number, text = ctypes.c_size_t, ctypes.c_int, ctypes.c_char_p
    prototypes = {
        "TF_NewStatus": (Pointer, []),
        "TF_GetCode": (number, [Pointer]),
        "TF_Message": (text, [Pointer]),
        "TF_DeleteStatus": (None, [Pointer]),
        "TF_NewGraph": (Pointer, []),
        "TF_DeleteGraph": (None, [Pointer]),
        "TF_NewSessionOptions": (Pointer, []),
        "TF_DeleteSessionOptions": (None, [Pointer]),
        "TF_CloseSession": (None, [Pointer, Pointer]),
        "TF_DeleteSession": (None, [Pointer, Pointer]),
        "TF_LoadSessionFromSavedModel": (
            Pointer,
            [Pointer, Pointer, text, ctypes.POINTER(text), number, Pointer, Pointer, Pointer],
        ),
        "TF_GraphOperationByName": (Pointer, [Pointer, text]),
        "TF_SessionRun": (
            None,
            [Pointer, Pointer, Pointer, Pointer, number, Pointer, Pointer, number]
            + [Pointer, number, Pointer, Pointer],
        ),
        "TF_AllocateTensor": (Pointer, [number, ctypes.POINTER(ctypes.c_int64), number, size]),
        "TF_DeleteTensor": (None, [Pointer]),
        "TF_TensorType": (number, [Pointer]),
        "TF_NumDims": (number, [Pointer]),
        "TF_Dim": (ctypes.c_int64, [Pointer, number]),
        "TF_TensorByteSize": (size, [Pointer]),
        "TF_TensorData": (Pointer, [Pointer]),
        "TF_StringInit": (None, [Pointer]),
        "TF_StringCopy": (None, [Pointer, text, size]),
        "TF_StringDealloc": (None, [Pointer]),
        "TF_StringGetDataPointer": (Pointer, [Pointer]),
        "TF_StringGetSize": (size, [Pointer]),
    }
    for name, (result, arguments) in prototypes.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Session:
    """One loaded SavedModel. `run` may be called from several threads at once.

    Args:
        library: what `load_library` returned.
        saved_model: path of the version's folder.

    Raises:
        TensorFlowError: the model does not load.
    """

    def __init__(self, library: ctypes.CDLL, saved_model: str):
        self.library = library
        self.graph = library.TF_NewGraph()
        self.session = None
        options = library.TF_NewSessionOptions()
        tags = (ctypes.c_char_p * 1)(b"serve")
        try:
            with self.status() as status:
                self.session = library.TF_LoadSessionFromSavedModel(
                    options, None, saved_model.encode(), tags, 1, self.graph, None, status
                )
        except TensorFlowError:
            self.close()
            raise
        finally:
            library.TF_DeleteSessionOptions(options)

    @contextlib.contextmanager
    def status(self):
        """Yields a TF_Status; raises what it holds in the end."""
        status = self.library.TF_NewStatus()
        try:
            yield status
            code = self.library.TF_GetCode(status)
            if code != 0:
                message = self.library.TF_Message(status).decode(errors="replace")
                raise TensorFlowError(code, message)
        finally:
            self.library.TF_DeleteStatus(status)

    def close(self) -> None:
        """Frees the model. No `run` may be under way."""
        if self.session:
            with self.status() as status:
                self.library.TF_CloseSession(self.session, status)
            with self.status() as status:
                self.library.TF_DeleteSession(self.session, status)
        if self.graph:
            self.library.TF_DeleteGraph(self.graph)
        self.session = self.graph = None

    def run(self, feeds: list, fetches: list, *, run_options: bytes = b"") -> list:
        """Feeds pairs (graph tensor, value), where a value is what `get_value` reads.

        Args:
            feeds: what to feed.
            fetches: names of graph tensors.
            run_options: a serialized `RunOptions` message.

        Returns:
            One value for each graph tensor of `fetches`.

        Raises:
            TensorFlowError: what the run reported.
            RuntimeError: a tensor is not in the graph, or of a type that no signature may have.
        """
        library = self.library
        inputs = (GraphTensor * len(feeds))(*[self.find(name) for name, _ in feeds])
        outputs = (GraphTensor * len(fetches))(*[self.find(name) for name in fetches])
        values = (Pointer * len(feeds))()
        results = (Pointer * len(fetches))()
        options = Buffer(run_options, len(run_options), None) if run_options else None
        try:
            for i, (_, value) in enumerate(feeds):
                values[i] = self.new_tensor(value)
            with self.status() as status:
                library.TF_SessionRun(
                    self.session,
                    ctypes.byref(options) if options else None,
                    inputs,
                    values,
                    len(feeds),
                    outputs,
                    results,
                    len(fetches),
                    None,
                    0,
                    None,
                    status,
                )
            return [self.read_tensor(tensor) for tensor in results]
        finally:
            # After the results are read: an output may share the memory of an input.
            for tensor in values:
                self.free_strings(tensor)
            for tensor in (*values, *results):
                library.TF_DeleteTensor(tensor)

    def find(self, name: str) -> GraphTensor:
        """Finds "operation:index" in the graph."""
        operation_name, _, index = name.partition(":")
        operation = self.library.TF_GraphOperationByName(self.graph, operation_name.encode())
        if not operation:
            raise RuntimeError(f"The graph has no operation {operation_name!r}.")
        return GraphTensor(operation, int(index or 0))

    def new_tensor(self, value):
        """Copies a NumPy array, or a pair (joined bytes, lengths) of strings, into a TF_Tensor."""
        is_string = isinstance(value, tuple)
        array = np.ascontiguousarray(value[1] if is_string else value)
        if not is_string and array.dtype not in TENSOR_TYPES:
            raise RuntimeError(f"dtype {array.dtype} is not one of {list(map(str, TENSOR_TYPES))}.")
        code = STRING if is_string else TENSOR_TYPES[array.dtype]
        num_bytes = array.size * ctypes.sizeof(StringSlot) if is_string else array.nbytes
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = self.library.TF_AllocateTensor(code, dims, array.ndim, num_bytes)
        data = self.library.TF_TensorData(tensor)
        if not is_string:
            ctypes.memmove(data, array.ctypes.data, num_bytes)
            return tensor
        joined, start = value[0].tobytes(), 0
        for i, length in enumerate(array.ravel().tolist()):
            slot = data + i * ctypes.sizeof(StringSlot)
            self.library.TF_StringInit(slot)
            self.library.TF_StringCopy(slot, joined[start : start + length], length)
            start += length
        return tensor

    def free_strings(self, tensor) -> None:
        """Frees what `new_tensor` copied into slots: TF_DeleteTensor frees the slots alone."""
        if tensor and self.library.TF_TensorType(tensor) == STRING:
            data = self.library.TF_TensorData(tensor) or 0
            size = self.library.TF_TensorByteSize(tensor)
            for slot in range(data, data + size, ctypes.sizeof(StringSlot)):
                self.library.TF_StringDealloc(slot)

    def read_tensor(self, tensor):
        """The inverse of `new_tensor`."""
        library = self.library
        code = library.TF_TensorType(tensor)
        shape = [library.TF_Dim(tensor, i) for i in range(library.TF_NumDims(tensor))]
        data = library.TF_TensorData(tensor)
        if code == STRING:
            slots = range(data or 0, (data or 0) + library.TF_TensorByteSize(tensor), 24)
            strings = [
                ctypes.string_at(
                    library.TF_StringGetDataPointer(slot), library.TF_StringGetSize(slot)
                )
                for slot in slots
            ]
            lengths = np.array([len(item) for item in strings], np.int64).reshape(shape)
            return np.frombuffer(b"".join(strings), np.uint8), lengths
        if code not in NUMPY_TYPES:
            raise RuntimeError(
                f"TensorFlow type {code} is not float32, int32, uint8 or string, the types that "
                "a signature may have."
            )
        array = np.empty(shape, NUMPY_TYPES[code])
        if array.nbytes:
            ctypes.memmove(array.ctypes.data, data, array.nbytes)
        return array


def get_value(arrays, key: str):
    """Reads an array, or a pair (joined bytes, lengths) of strings, from a .npz mapping."""
    if key in arrays:
        return arrays[key]
    return arrays[f"{key}.bytes"], arrays[f"{key}.lengths"]


def put_value(arrays: dict, key: str, value) -> None:
    """The inverse of `get_value`."""
    if isinstance(value, tuple):
        arrays[f"{key}.bytes"], arrays[f"{key}.lengths"] = value
    else:
        arrays[key] = value


def main(job_directory: str) -> None:
    """Loads the SavedModel of the job and runs its requests in order."""
    folder = pathlib.Path(job_directory)
    job = json.loads((folder / "job.json").read_text())
    with np.load(folder / "inputs.npz") as archive:
        given = {key: archive[key] for key in archive.files}
    session = Session(load_library(), job["saved_model"])
    results = {}
    for i, request in enumerate(job["requests"]):
        feeds = [
            (tensor, get_value(given, f"{i}/{name}")) for name, tensor in request["inputs"].items()
        ]
        try:
            values = session.run(feeds, list(request["outputs"].values()))
        except RuntimeError as error:
            raise RuntimeError(f"signature {request['signature']!r}: {error}") from error
        for name, value in zip(request["outputs"], values, strict=True):
            put_value(results, f"{i}/{name}", value)
    np.savez(folder / "outputs.npz", **results)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except RuntimeError as error:
        sys.exit(str(error))
