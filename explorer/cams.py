"""Published class activation maps, on the feature maps that one forward pass left.

Maps are signed and not normalised: no ReLU at the end, no scaling to 0..1; both are the business of `render`. All
but Score-CAM run only what stands above the feature maps: a pooling and a head, which cost next to nothing, or what
follows a layer, once. A method whose definition needs the pooling and the head says so where there is no pooling.
"""

from __future__ import annotations

import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from explorer.checks import checked_key, checked_whole, is_number
from explorer.errors import MethodError, ParameterError
from explorer.networks.head import has_constant_slopes, head_kind, hold
from explorer.progress import Progress, Stop

_GRADIENTS = 12  # classes whose gradient is kept: each is as large as the feature maps


class CamContext(ABC):
    """What stands above the feature maps, at one image: all that a CAM method may read.

    Attributes:
        x: (1, channels, h, w), the network's input.
        feature_maps: (C, H, W), or the maps of the layer that is looked at.
        logits: (classes,).
        head: (B, C) to (B, classes), and pooled (C,), what it was given; None where these maps are not pooled.
    """

    def __init__(
        self, x: Tensor, feature_maps: Tensor, head: nn.Module | None = None, pooled: Tensor | None = None
    ) -> None:
        self.x = x
        self.feature_maps = feature_maps
        self.head = head
        self.pooled = pooled
        self._gradients: dict[int, Tensor] = {}
        self._lock = threading.Lock()

    @property
    @abstractmethod
    def logits(self) -> Tensor:
        """(classes,): the network's answer."""

    @abstractmethod
    def answers(self, photos: Tensor) -> Tensor:
        """(B, classes): the network's answers to other inputs (B, channels, h, w), for Score-CAM alone."""

    @abstractmethod
    def batches(self, items: Tensor, unit: str, progress: Progress | None, stop: Stop | None) -> Iterator[Tensor]:
        """`items` in slices of as many as go through the network at once, see `explorer.networks.engine`."""

    @abstractmethod
    def _gradient(self, index: int) -> Tensor:
        """(C, H, W): computed anew; never by two threads at once."""

    def gradient(self, index: int) -> Tensor:
        """(C, H, W): of the class's logit at the feature maps; remembered."""
        with self._lock:
            if index not in self._gradients:
                self._gradients[index] = self._gradient(index)
                if len(self._gradients) > _GRADIENTS:
                    del self._gradients[next(iter(self._gradients))]
            return self._gradients[index]

    @cached_property
    def total(self) -> Tensor:
        """(C,): each map's sum."""
        return self.feature_maps.sum((1, 2))

    @cached_property
    def principal(self) -> Tensor:
        """(H, W): the maps' projection on their first right singular vector, active positions positive."""
        maps = self.feature_maps.flatten(1)
        # From the smaller of the two products, (H W, H W) or (C, C): the same vector as the singular value
        # decomposition's, at a tenth; early layers have thousands of positions, late ones thousands of channels.
        if len(maps) < maps.shape[1]:
            projection = torch.linalg.eigh(maps @ maps.T)[1][:, -1] @ maps
        else:
            values, vectors = torch.linalg.eigh(maps.T @ maps)
            projection = vectors[:, -1] * values[-1].clamp_min(0).sqrt()
        # A singular vector's sign is arbitrary: choose the one under which active positions are positive.
        sign = 1.0 if projection @ maps.sum(0) >= 0 else -1.0
        return (sign * projection).unflatten(0, self.feature_maps.shape[1:])


def _weighted(channel_weights: Tensor, feature_maps: Tensor) -> Tensor:
    """(H, W): the sum of the maps, each times its channel's number."""
    return (channel_weights @ feature_maps.flatten(1)).unflatten(0, feature_maps.shape[1:])


def _head(context: CamContext, method: str) -> tuple[nn.Module, Tensor]:
    """The head, and the pooled vector (C,) that it was given."""
    if context.head is None or context.pooled is None:
        raise MethodError(f"{method} needs a pooling and the head that follows it, which these maps do not have; "
                          "Grad-CAM needs neither.")
    return context.head, context.pooled


def _slopes(context: CamContext, index: int, method: str) -> Tensor:
    head, pooled = _head(context, method)
    if head_kind(head) != "affine":
        raise MethodError(f"{method} needs a head that is affine, and this network's is not; Grad-CAM is its "
                          "generalisation.")
    return hold(head, pooled, [index])[0][0]


def _cam(context: CamContext, index: int) -> Tensor:
    return _weighted(_slopes(context, index, "CAM"), context.feature_maps)


def _grad_cam(context: CamContext, index: int) -> Tensor:
    return _weighted(context.gradient(index).mean((1, 2)), context.feature_maps)


def _grad_cam_plus_plus(context: CamContext, index: int) -> Tensor:
    gradient = context.gradient(index)
    # g^2 cancels from alpha = g^2 / (2 g^2 + g^3 total): squares of small gradients would underflow.
    below = 2 + gradient * context.total[:, None, None]
    shares = torch.where(below != 0, gradient.relu() / below, torch.zeros_like(gradient))
    return _weighted(shares.sum((1, 2)), context.feature_maps)


def _xgrad_cam(context: CamContext, index: int) -> Tensor:
    total = context.total
    weighted = (context.gradient(index) * context.feature_maps).sum((1, 2))
    return _weighted(torch.where(total != 0, weighted / total, torch.zeros_like(total)), context.feature_maps)


def _hires_cam(context: CamContext, index: int) -> Tensor:
    return (context.gradient(index) * context.feature_maps).sum(0)


def _layer_cam(context: CamContext, index: int) -> Tensor:
    return (context.gradient(index).relu() * context.feature_maps).sum(0)


def _eigen_cam(context: CamContext, index: int) -> Tensor:
    if not torch.isfinite(context.feature_maps).all():
        raise MethodError("Eigen-CAM needs feature maps that are finite, and these hold NaN or infinity.")
    return context.principal


def _ablation_cam(context: CamContext, index: int) -> Tensor:
    """A channel goes by its pooled value becoming 0, which is its map becoming 0 (under attention: weights held)."""
    # Without a channel a LayerNorm has other statistics, so its head has no closed form.
    head, pooled = _head(context, "Ablation-CAM")
    if has_constant_slopes(head):
        drops = hold(head, pooled, [index])[0][0] * pooled
    else:
        drops = context.logits[index] - _ablated_logits(head, pooled, index)
    return _weighted(drops, context.feature_maps)


@torch.no_grad()
def _ablated_logits(head: nn.Module, pooled: Tensor, index: int, batch: int = 256) -> Tensor:
    """(C,): the logit with each channel's pooled value set to 0 in turn."""
    answers = []
    for channels in torch.arange(len(pooled)).split(batch):
        ablated = pooled.repeat(len(channels), 1)
        ablated[torch.arange(len(channels)), channels] = 0
        answers.append(head(ablated)[:, index])
    return torch.cat(answers)


@torch.no_grad()
def _score_cam(
    context: CamContext, index: int, progress: Progress | None = None, stop: Stop | None = None
) -> Tensor:
    """The paper's Algorithm 1: a softmax over channels of the logits that the masked photos get."""
    answers = []
    for maps in context.batches(context.feature_maps[:, None], "channels", progress, stop):
        upsampled = functional.interpolate(maps, context.x.shape[-2:], mode="bilinear", align_corners=False)
        low, high = upsampled.amin((2, 3), keepdim=True), upsampled.amax((2, 3), keepdim=True)
        ranged = (upsampled - low) / torch.where(high > low, high - low, torch.ones_like(high))
        answers.append(context.answers(context.x * ranged)[:, index])
    return _weighted(torch.softmax(torch.cat(answers), 0), context.feature_maps)


def _finer_cam(
    context: CamContext, index: int, rivals: Sequence[int] | None = None, gamma: float = 0.6, references: int = 3
) -> Tensor:
    """Grad-CAM of the logit less gamma times the mean logit of some rivals (the closest logits, unless named)."""
    classes = len(context.logits)
    if classes == 1:
        raise MethodError("Finer-CAM compares a class with others, and this network has only one.")
    if not is_number(gamma) or gamma < 0:
        raise ParameterError(f"Finer-CAM's gamma is {gamma!r}; expected a number of at least 0.")
    checked_whole(references, 1, None, "number of references of Finer-CAM")
    if rivals is None:
        distance = (context.logits - context.logits[index]).abs()
        distance[index] = torch.inf
        rivals = distance.topk(min(references, classes - 1), largest=False).indices.tolist()
    elif not rivals or not all(type(rival) is int and 0 <= rival < classes and rival != index for rival in rivals):
        raise ParameterError(f"Finer-CAM's rivals of class {index} are {rivals!r}; expected other classes from 0 to "
                             f"{classes - 1}, at least one.")
    against = torch.stack([context.gradient(rival) for rival in rivals]).mean(0)
    return _weighted((context.gradient(index) - gamma * against).mean((1, 2)), context.feature_maps)


@dataclass(frozen=True)
class CamMethod:
    """A CAM method: its key, name, one sentence, formula in LaTeX, paper, and `compute(context, class, ...)`."""

    key: str
    name: str
    explanation: str
    formula: str
    source: str
    compute: Callable[..., Tensor]

    @property
    def options(self) -> tuple[str, ...]:
        """The names of what `compute` takes besides the context and the class."""
        return tuple(inspect.signature(self.compute).parameters)[2:]


_G = r"\frac{\partial s_c}{\partial F_{kij}}"

CAM_METHODS = MappingProxyType({method.key: method for method in (
    CamMethod(
        "cam", "CAM", "The head's weights for the class times the feature maps.",
        r"\sum_k A_{ck} F_{kij}",
        "Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, arXiv:1512.04150",
        _cam,
    ),
    CamMethod(
        "grad_cam", "Grad-CAM", "Each channel weighs as much as its mean gradient.",
        rf"\sum_k \Big(\tfrac{{1}}{{HW}}\sum_{{ab}} {_G.replace('ij', 'ab')}\Big) F_{{kij}}",
        "Selvaraju et al., Grad-CAM, ICCV 2017, arXiv:1610.02391",
        _grad_cam,
    ),
    CamMethod(
        "grad_cam_plus_plus", "Grad-CAM++", "Positive gradients, shared out by their second and third powers.",
        r"\sum_k \Big(\sum_{ab} \frac{g_{kab}^2}{2 g_{kab}^2 + g_{kab}^3 \sum F_k}\,[g_{kab}]_+\Big) F_{kij}",
        "Chattopadhyay et al., Grad-CAM++, WACV 2018, arXiv:1710.11063 (without its constant factor exp(s_c))",
        _grad_cam_plus_plus,
    ),
    CamMethod(
        "xgrad_cam", "XGrad-CAM", "Gradients averaged with the activations as weights.",
        r"\sum_k \frac{\sum_{ab} g_{kab} F_{kab}}{\sum_{ab} F_{kab}} F_{kij}",
        "Fu et al., Axiom-based Grad-CAM, BMVC 2020, arXiv:2008.02312",
        _xgrad_cam,
    ),
    CamMethod(
        "hires_cam", "HiResCAM", "Gradient times activation at each position, without averaging first.",
        r"\sum_k g_{kij} F_{kij}",
        "Draelos and Carin, Use HiResCAM instead of Grad-CAM for faithful explanations, 2021, arXiv:2011.08891",
        _hires_cam,
    ),
    CamMethod(
        "layer_cam", "Layer-CAM", "Positive gradient times activation at each position.",
        r"\sum_k [g_{kij}]_+ F_{kij}",
        "Jiang et al., LayerCAM, IEEE Transactions on Image Processing 30, 2021, doi:10.1109/TIP.2021.3089943",
        _layer_cam,
    ),
    CamMethod(
        "eigen_cam", "Eigen-CAM", "The feature maps' first principal direction, the same for every class.",
        r"F^{\top} v_1,\quad F = U \Sigma V^{\top}",
        "Muhammad and Yeasin, Eigen-CAM, IJCNN 2020, arXiv:2008.00299 (not centred; sign: active is positive)",
        _eigen_cam,
    ),
    CamMethod(
        "ablation_cam", "Ablation-CAM", "Each channel weighs as much as the class's output drops without it.",
        r"\sum_k (s_c - s_c^{\setminus k}) F_{kij}",
        "Desai and Ramaswamy, Ablation-CAM, WACV 2020 (not divided by s_c, which would flip it where s_c < 0)",
        _ablation_cam,
    ),
    CamMethod(
        "score_cam", "Score-CAM", "Each channel weighs as much as the class's output for the photo seen through it.",
        r"\sum_k \mathrm{softmax}_k\big(s_c(x \circ \hat F_k)\big) F_{kij}",
        "Wang et al., Score-CAM, CVPR Workshops 2020, arXiv:1910.01279 (Algorithm 1)",
        _score_cam,
    ),
    CamMethod(
        "finer_cam", "Finer-CAM", "Grad-CAM of the class less its closest rivals.",
        r"\sum_k \Big(\tfrac{1}{HW}\sum_{ab} \big(g^{c}_{kab} - \gamma\,\overline{g^{d}_{kab}}\big)\Big) F_{kij}",
        "Zhang et al., Finer-CAM, CVPR 2025, arXiv:2501.11309 (three references, gamma 0.6)",
        _finer_cam,
    ),
)})


def cam_method_of(key: str) -> CamMethod:
    """The CAM method of that key. Raises ParameterError naming the keys that exist."""
    return CAM_METHODS[checked_key(key, CAM_METHODS, "CAM method")]
