"""Build the live app: a folder of static files for any host."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zlib
from dataclasses import asdict
from pathlib import Path

from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

from explorer import load_network
from explorer.errors import ExplorerError
from explorer.live.app.runtime import notices, runtime_files
from explorer.live.data import network_data
from explorer.live.scripts import PANEL, read
from explorer.networks import Network
from explorer.networks.graphs import with_weights
from explorer.networks.loading.bundled import ASSETS
from explorer.networks.loading.files import shipped

HERE = Path(__file__).resolve().parent
NETWORK = "efficientnet_lite0"
PAGE = ("*.html", "*.css", "*.js", "NOTICE.txt")  # files of this folder that are copied as they are
OFFLINE = "offline.js"
LICENCES = ("Apache-2.0.txt", "torchvision-BSD-3-Clause.txt")
PACKED = (".wasm", ".onnx")  # many hosts send such files as they are; the page unpacks them


def build(out: Path, onnxruntime: Path | None = None) -> dict[str, int]:
    """Write the live app.

    Args:
        out: the folder; files of the same names are replaced, others stay.
        onnxruntime: an unpacked package onnxruntime-web; None fetches it by npm.

    Returns:
        Sizes in bytes by file name.

    Raises:
        ExplorerError: npm is missing or cannot fetch the package, or the folder cannot be written.
        NetworkError: a file of the bundled network is missing or damaged.
    """
    runtime = runtime_files(onnxruntime)
    network = load_network(NETWORK)
    files = {
        **{path.name: path.read_bytes() for pattern in PAGE for path in sorted(HERE.glob(pattern))},
        **{f"licenses/{name}": (ASSETS / "licenses" / name).read_bytes() for name in LICENCES},
        **{f"licenses/{name}": text for name, text in notices().items()},
        **runtime,
        "backbone.onnx": backbone_graph(network),
        "panel-scripts.js": read(*PANEL).encode(),
        "panel-styles.css": read("viewer.css", "panel.css").encode(),
        "network.json": json.dumps(network_data(network) | {"preprocessing": asdict(network.preprocessing)},
                                   ensure_ascii=False, allow_nan=False).encode(),
    }
    packed = {f"{name}.zlib" if name.endswith(PACKED) else name:
              zlib.compress(data) if name.endswith(PACKED) else data for name, data in files.items()}
    packed[OFFLINE] = _listed(packed) + packed[OFFLINE]
    _write(out, packed)
    return {name: len(data) for name, data in packed.items()}


def backbone_graph(network: Network) -> bytes:
    """The bundled backbone as one ONNX file with its weights: "x" (1, 3, height, width) to "maps" (1, C, H, W).

    ONNX Runtime has merged normalisations and activations into the convolutions: a browser would take a second to.

    Raises NetworkError where the graph's file is missing or damaged.
    """
    with shipped(ASSETS / f"{NETWORK}.onnx") as graph, tempfile.TemporaryDirectory() as folder:
        merged, options = Path(folder) / "merged.onnx", SessionOptions()
        options.optimized_model_filepath = str(merged)
        options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_EXTENDED  # ALL is for one processor
        InferenceSession(with_weights(graph, network.backbone.state_dict()), options,
                         providers=["CPUExecutionProvider"])
        return merged.read_bytes()


def _listed(files: dict[str, bytes]) -> bytes:
    """What the service worker keeps for visits without a connection, and a version that each change of it changes."""
    version = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in files.values())).hexdigest()
    names = ["./", *(name for name in files if name != OFFLINE and "/" not in name)]
    return f'const VERSION = "{version[:16]}", FILES = {json.dumps(names)};\n'.encode()


def _write(out: Path, files: dict[str, bytes]) -> None:
    try:
        for name, data in files.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise ExplorerError(f"The folder {str(out)!r:.160} cannot be written ({error.strerror or 'no reason given'})."
                            ) from None
