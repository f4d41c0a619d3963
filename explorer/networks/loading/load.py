"""A network by its name or from a checkpoint: `load_network` and `load_file`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from explorer.checks import checked_key
from explorer.errors import NetworkError
from explorer.framing import Preprocessing
from explorer.networks.engine import ENGINES
from explorer.networks.loading.architecture import ArchitectureError, fill
from explorer.networks.loading.blueprints import Blueprint
from explorer.networks.loading.bundled import BUNDLED
from explorer.networks.loading.by_name import pretrained
from explorer.networks.loading.checkpoint import MOST_BYTES, Checkpoint, read_checkpoint
from explorer.networks.loading.class_names import read_class_names
from explorer.networks.loading.files import one_line, read_bytes
from explorer.networks.loading.heads_folder import is_heads_folder, network_of_heads, read_heads_card
from explorer.networks.loading.known_networks import identify
from explorer.networks.loading.onnx_file import is_onnx
from explorer.networks.loading.onnx_network import look_into_onnx, onnx_network
from explorer.networks.network import Network
from explorer.networks.probing import names_for
from explorer.progress import Progress
from explorer.wording import listed

__all__ = ["ArchitectureError", "Contents", "load_file", "load_network", "look_into"]

ClassNames = Sequence[str] | bytes | str | Path

ASSUMED_PREPROCESSING = "Preprocessing: assumed"  # how that caution begins, which an edit answers


def load_network(
    name: str | Path = "efficientnet_lite0",
    *,
    architecture: str | None = None,
    class_names: ClassNames | None = None,
    preprocessing: Preprocessing | None = None,
    activation: str | None = None,
    layer: str | None = None,
    head_activation: str = "relu",
    output: str | None = None,
    engine: str = "auto",
    progress: Progress | None = None,
) -> Network:
    """Load a network, cut into its parts.

    Args:
        name: "efficientnet_lite0" or "flowers" (bundled, always here); a network of torchvision or timm, whose trained
            weights are fetched on first use, such as "resnet50", "torchvision/convnext_tiny" or
            "timm/resnet50.a1_in1k"; or the path of a checkpoint (safetensors or torch.save's, whatever its ending), of
            a whole network (ONNX), or of a folder of heads that were trained on a run (`explorer.folder.train_heads`).
        architecture: of a checkpoint, a name of torchvision or timm; None is the one that has just these tensors.
        class_names: one a class: a sequence, or a .txt or .json file by its path or bytes; None takes what is known.
        preprocessing: what the network wants of its input; None takes what its architecture's weights want.
        activation: "softmax", "sigmoid" or "none" (its numbers are values, as of a regression); None is sigmoid for a
            single logit, else softmax.
        layer: path of the module after which to cut, where the pooling is not found without.
        head_activation: of a checkpoint with more than one Linear in its head, what is assumed between them: "relu",
            "gelu", "silu", "tanh", "leaky_relu", "elu", "hardswish", "sigmoid" or "none".
        output: of an ONNX file with several, the name of the one that has the logits; None is the first (batch,
            classes).
        engine: what runs the backbone: "torch"; "onnx", ONNX Runtime, whose graph is written now; or "auto", ONNX
            Runtime where it is known to be faster, see `explorer.networks.preparation`.
        progress: called with the bytes fetched so far and in all.

    Raises:
        NetworkError: there is no such network or file; weights cannot be fetched; a file is not what it should be
            (an ArchitectureError where it is of another architecture); nothing in a file is ever executed; or
            there is no ONNX graph that gives the same feature maps.
        ParameterError: class names or preprocessing do not fit; there is no such engine.
    """
    checked_key(engine, ENGINES, "engine")
    if isinstance(name, str) and name in BUNDLED:
        return _adapted(BUNDLED[name](), class_names, preprocessing, activation).run_by(engine)
    if is_heads_folder(name):
        return _adapted(_of_heads(Path(name), progress), class_names, preprocessing, activation).run_by(engine)
    if isinstance(name, Path) and name.is_dir():
        raise NetworkError(f"The folder {one_line(name.name)} holds no network; expected one that `python -m explorer "
                           "heads` has written, or a checkpoint.")
    if isinstance(name, Path) or _is_path(name):
        path = Path(name)
        return load_file(path, path.name, architecture=architecture, class_names=class_names,
                         preprocessing=preprocessing, activation=activation, layer=layer,
                         head_activation=head_activation, output=output).run_by(engine)
    try:
        identify(name)
    except NetworkError as error:
        raise NetworkError(f"{str(error).removesuffix('.')}; {listed(list(BUNDLED))} are bundled.") from None
    blueprint = pretrained(name, progress)
    return _network(blueprint, blueprint.known.name, blueprint.known.tagged, class_names, preprocessing, activation,
                    layer).run_by(engine)


def load_file(
    data: bytes | Path | Checkpoint,
    name: str,
    *,
    architecture: str | None = None,
    class_names: ClassNames | None = None,
    preprocessing: Preprocessing | None = None,
    activation: str | None = None,
    layer: str | None = None,
    head_activation: str = "relu",
    output: str | None = None,
) -> Network:
    """A person's own classifier from the bytes of a file, from its path, or as `look_into` read it; see `load_network`.

    The name is for people alone: what kind of file it is, its content decides.
    """
    title = one_line(name)
    if not isinstance(data, Checkpoint):
        content, _ = read_bytes(data, title, MOST_BYTES)
        if is_onnx(content) or title.lower().endswith(".onnx"):
            folder = data.parent if isinstance(data, Path) else None
            return onnx_network(content, title, folder, _read_names(class_names), preprocessing, activation, layer,
                                output)
        data = read_checkpoint(content, title)
    made_with = data.made_with
    blueprint = fill(data, architecture or made_with.get("architecture"), title, head_activation)
    preprocessing = preprocessing or made_with.get("preprocessing")
    activation = activation or made_with.get("activation")
    if preprocessing is None:
        blueprint = replace(blueprint, cautions=(*blueprint.cautions, _assumed_preprocessing(blueprint)))
    return _network(blueprint, "file", title, class_names, preprocessing, activation, layer)


@dataclass(frozen=True)
class Contents:
    """What a checkpoint holds, in words.

    Attributes:
        architecture: as `identify` takes it; None where none has just these tensors.
        sentences: what it is, and what has to be assumed.
        class_names: those in the file; None where it has none.
        checkpoint: as it was read, for `load_file`; None of an ONNX file.
        outputs: of an ONNX file, the names of its outputs, the one that is taken first; () of a checkpoint.
        preprocessing: of an ONNX file, what is assumed; of a checkpoint, what the file says.
    """

    architecture: str | None
    sentences: tuple[str, ...]
    class_names: tuple[str, ...] | None = None
    checkpoint: Checkpoint | None = None
    outputs: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None


def look_into(data: bytes | Path, name: str) -> Contents:
    """What a file holds, before it is loaded. Raises NetworkError for one that is no checkpoint and no network."""
    title = one_line(name)
    content, _ = read_bytes(data, title, MOST_BYTES)
    if is_onnx(content):
        outputs, preprocessing, sentences = look_into_onnx(content, title)
        return Contents(None, tuple(sentences), outputs=tuple(outputs), preprocessing=preprocessing)
    checkpoint = read_checkpoint(content, title)
    try:
        blueprint = fill(checkpoint, checkpoint.made_with.get("architecture"), title)
    except ArchitectureError as error:
        return Contents(None, (str(error),), checkpoint=checkpoint)
    classes = f"{blueprint.outputs:,} class{'' if blueprint.outputs == 1 else 'es'}"
    named = checkpoint.class_names if blueprint.class_names == checkpoint.class_names else None
    more = " and more" if named and len(named) > 3 else ""
    there = f", with names: {', '.join(map(one_line, named[:3]))}{more}" if named else ""
    return Contents(blueprint.known.name, (
        f"In the file: {blueprint.known.name}, {classes}{there}.", *blueprint.cautions,
        "Its preprocessing is in the file." if checkpoint.made_with else _assumed_preprocessing(blueprint)),
        named, checkpoint, preprocessing=checkpoint.made_with.get("preprocessing"))


def _assumed_preprocessing(blueprint: Blueprint) -> str:
    wants = blueprint.preprocessing
    return (f"{ASSUMED_PREPROCESSING} to be that of {blueprint.known.name} ({wants.size} px, mean "
            f"{' '.join(f'{number:.3g}' for number in wants.mean)}); a checkpoint does not hold it.")


def _of_heads(folder: Path, progress: Progress | None) -> Network:
    """The network of a folder of heads; its backbone is loaded as the card names it."""
    card = read_heads_card(folder)
    return network_of_heads(card, load_network(card.name, progress=progress, **card.options))


def _is_path(name: str) -> bool:
    """Whether a name is meant as a file's: it ends like one, or there is one."""
    return Path(name).suffix.lower() in {".safetensors", ".pth", ".pt", ".pt2", ".ckpt", ".bin", ".tar", ".onnx"} or (
        not name.startswith(("torchvision/", "timm/")) and Path(name).is_file())


def _network(
    blueprint: Blueprint, name: str, title: str, class_names: ClassNames | None,
    preprocessing: Preprocessing | None, activation: str | None, layer: str | None,
) -> Network:
    names = _read_names(class_names) or blueprint.class_names
    network = Network.from_module(
        blueprint.module, preprocessing or blueprint.preprocessing, names, name=name, title=title,
        origin=blueprint.origin, digest=blueprint.digest, activation=activation, layer=layer,
        word="class" if blueprint.classifies else "output", cautions=blueprint.cautions,
    )
    return replace(network, siblings={
        other: lambda other=other, make=make: _network(  # type: ignore[misc]
            make(), name, f"{title} as {other}", names, preprocessing, activation, layer)
        for other, make in blueprint.siblings.items()})


def _adapted(
    network: Network, class_names: ClassNames | None, preprocessing: Preprocessing | None, activation: str | None
) -> Network:
    """A bundled network with other class names, preprocessing or activation."""
    names = _read_names(class_names)
    return replace(
        network, class_names=names_for(len(network.class_names), names) if names else network.class_names,
        preprocessing=preprocessing or network.preprocessing, activation=activation or network.activation)


def _read_names(class_names: ClassNames | None) -> tuple[str, ...] | None:
    return None if class_names is None else read_class_names(class_names)
