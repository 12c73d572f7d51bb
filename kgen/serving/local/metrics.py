"""A few counters, under TF Serving's names."""

import collections
import threading

from kgen.serving.local.errors import Code


class Metrics:
    """Counts requests and their time."""

    def __init__(self):
        self._lock = threading.Lock()
        self._requests = collections.Counter()
        self._latencies = {}

    def record(self, model: str, code: Code, seconds: float, *, api: str, entrypoint: str) -> None:
        """Counts a request.

        Args:
            model: name of the model, "" if there is none of the name: names that clients make up
                would fill the memory.
            code: how it ended.
            seconds: how long it took.
            api: "Predict", ...
            entrypoint: "GRPC" or "REST".
        """
        with self._lock:
            self._requests[model, code.name] += 1
            if code == Code.OK:
                count, total = self._latencies.get((model, api, entrypoint), (0, 0.0))
                self._latencies[model, api, entrypoint] = (count + 1, total + seconds * 1e6)

    def text(self) -> str:
        """All of it in the format of Prometheus. Latencies are in microseconds."""
        requests, latencies = (
            ":tensorflow:serving:request_count",
            (":tensorflow:serving:request_latency"),
        )
        with self._lock:
            lines = [f"# TYPE {requests} counter"]
            for (model, status), count in sorted(self._requests.items()):
                labels = f'model_name="{_escape(model)}",status="{status}"'
                lines.append(f"{requests}{{{labels}}} {count}")
            lines.append(f"# TYPE {latencies} summary")
            for (model, api, entrypoint), (count, total) in sorted(self._latencies.items()):
                labels = f'model_name="{_escape(model)}",API="{api}",entrypoint="{entrypoint}"'
                lines.append(f"{latencies}_sum{{{labels}}} {total:.0f}")
                lines.append(f"{latencies}_count{{{labels}}} {count}")
        return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
