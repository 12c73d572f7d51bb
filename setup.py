"""kgen's packaging."""

import pathlib
import re

from setuptools import find_packages, setup

here = pathlib.Path(__file__).parent
version = re.search(r'"(\d[^"]*)"', (here / "kgen/version.py").read_text()).group(1)

setup(
    name="kgen",
    version=version,
    description="Deep generative models and self-supervised learning for Keras 3 on TensorFlow",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    packages=find_packages(include=["kgen", "kgen.*"]),
    package_data={"kgen.serving": ["page/*"]},
    python_requires=">=3.11",
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<3.16",
        "tensorflow-probability[tf]>=0.25,<0.26",
        "tensorflow-datasets>=4.9.10,<5",
        # tensorflow-datasets imports it and does not ask for it.
        "importlib_resources",
        "tensorflow-serving-api>=2.21,<2.22",
        "urllib3>=2",
        "absl-py>=2.1",
        "matplotlib>=3.9",
        "scikit-learn>=1.5",
        "tensorboard>=2.20,<2.22",
    ],
    extras_require={
        # TIFF of more than 4 channels, or of colour with 16 bits.
        "tiff": ["tifffile>=2025.1"],
        "test": [
            "tifffile>=2025.1",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff==0.17.6",
            "scipy>=1.13",
            "hypothesis>=6.100",
            "pyyaml>=6",
            # They hold the schemas of Compose and of Kubernetes.
            "check-jsonschema>=0.30",
            "kubernetes-validate>=1.31",
        ],
        "cuda": ["tensorflow[and-cuda]>=2.21,<2.22"],
        # The rivals of `benchmarks/`. torchvision's versions go with those of PyTorch.
        # The last shows profiles in TensorBoard; its versions go with those of TensorFlow.
        "bench": [
            "torch>=2.9",
            "torchvision>=0.24",
            "lightly>=1.6,<2",
            "pythae>=0.1.2,<0.2",
            "tensorboard-plugin-profile>=2.21,<2.22",
        ],
    },
)
