"""Small classifiers of every sort, and what they must say, by arithmetic of their own weights."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from explorer import analyse
from explorer.analysis import Analysis
from explorer.framing import Preprocessing
from explorer.networks import Network

SIZE = 96
SIDE = 4  # positions along a side of the feature maps: strides of 24 px


class Flattened(nn.Module):
    """No pooling: (B, 3, 96, 96) to maps (B, channels, 4, 4), flattened, and a Linear."""

    def __init__(self, channels: int = 5, classes: int = 4) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, channels, 24, stride=24), nn.ReLU())
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(channels * SIDE * SIDE, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


class Pooled(nn.Module):
    """A global average pooling and a Linear, for inputs of some channels."""

    def __init__(self, channels: int, classes: int, of: int = 3, stride: int = 24) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(of, channels, stride, stride=stride), nn.ReLU())
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.features(x)).flatten(1))


def seeded(make, *arguments, **named):
    """What `make` gives, with the same random numbers each time."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return make(*arguments, **named).eval()


def vision_transformer(classes: int = 4) -> VisionTransformer:
    """Two blocks, two heads, 4 x 4 patches; its attention is far from even."""
    model = seeded(VisionTransformer, SIZE, 24, 2, 2, 8, 16, num_classes=classes)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        for block in model.encoder.layers:
            block.self_attention.in_proj_weight.data.normal_()
        model.heads[0].weight.data.normal_()
    return model


def network_of(module: nn.Module, grey: bool = False, **named) -> Network:
    """A network of a module that takes inputs of 96 px."""
    one = (0.5,) if grey else (0.5, 0.5, 0.5)
    return Network.from_module(module, Preprocessing(size=SIZE, mean=one, std=one), **named)


def seen(network: Network, image: Image.Image, layer: str | None = None) -> Analysis:
    return analyse(network, image, "crop", SIZE, layer)


def maps_of(analysis: Analysis) -> np.ndarray:
    """(C, H, W), as the module's own convolution gives them."""
    features = analysis.network.layers.model.features
    with torch.no_grad():
        return features(analysis.input)[0].double().numpy()


def flat_weights(analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """(classes, C, H, W) and (classes,): of the Linear after the Flatten."""
    last = analysis.network.layers.model.classifier[1]
    weight = last.weight.detach().double().numpy()
    return weight.reshape(len(weight), -1, SIDE, SIDE), last.bias.detach().double().numpy()


def attention_by_hand(model: VisionTransformer, x: Tensor) -> np.ndarray:
    """(heads, 4, 4): the class token's softmax weights in the last block, from the weights alone."""
    with torch.no_grad():
        patches = model.conv_proj(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([model.class_token, patches], 1) + model.encoder.pos_embedding
        first, last = model.encoder.layers
        tokens = last.ln_1(first(tokens))[0].double()
        attention, width = last.self_attention, tokens.shape[1]
        weight, bias = attention.in_proj_weight.double(), attention.in_proj_bias.double()
        rows = (slice(0, width), slice(width, 2 * width))
        query, key = (tokens @ weight[part].T + bias[part] for part in rows)
        item = width // attention.num_heads
        result = []
        for head in range(attention.num_heads):
            part = slice(head * item, (head + 1) * item)
            agreement = (key[:, part] @ query[0, part] / item ** 0.5).numpy()
            shares = np.exp(agreement - agreement.max())
            result.append((shares / shares.sum())[1:].reshape(SIDE, SIDE))
    return np.stack(result)
