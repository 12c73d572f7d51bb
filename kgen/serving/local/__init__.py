"""A development server that speaks TF Serving's protocols, for machines without TF Serving.

python -m kgen.serving.local saved_models/ --grpc_port=8500 --rest_port=8501
"""

from kgen.serving.local.starting import Server, serving

__all__ = ["Server", "serving"]
