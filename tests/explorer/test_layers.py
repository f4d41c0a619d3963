"""Layers inside a network: against forward hooks, which a test may use, and gradients and attention derived again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from explorer.errors import MethodError
from explorer.framing import Preprocessing
from explorer.networks import Network
from explorer.networks.cutting.arrangement import Arrangement, arrangement_of, grid_of
from explorer.networks.cutting.taps import own_copy
from explorer.networks.layers import Layer, Layers
from tests.explorer.own_models import CHANNELS, CLASSES, Does, Small, inputs, network_of, seeded, worst


def timm_vit(**named: object) -> nn.Module:
    return VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3, num_classes=5, **named)


def torchvision_vit() -> nn.Module:
    model = torchvision.models.VisionTransformer(image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=12,
                                                 mlp_dim=20, num_classes=5)
    nn.init.normal_(model.heads.head.weight)  # it is born with zeros
    return model


def swin() -> nn.Module:
    return torchvision.models.SwinTransformer([2, 2], 12, [2, 2], [2, 4], [4, 4], num_classes=5)


def densenet() -> nn.Module:
    return torchvision.models.DenseNet(4, (2, 2), 8, num_classes=5)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "small": Small,
    "resnet": lambda: torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=5),
    "densenet": densenet,
    "swin": swin,
    "timm's ViT": timm_vit,
    "timm's ViT, averaged": lambda: timm_vit(global_pool="avg"),
    "timm's ViT, no class token": lambda: timm_vit(global_pool="avg", class_token=False),
    "timm's ViT, registers": lambda: timm_vit(reg_tokens=4),
    "torchvision's ViT": torchvision_vit,
    "flattens": lambda: Small(nn.Flatten(), nn.Linear(CHANNELS * 64, CLASSES)),
}
SIZE = {"resnet": 64, "densenet": 64}


def model_and_layers(name: str) -> tuple[nn.Module, Layers, Tensor]:
    size = SIZE.get(name, 32)
    model = seeded(MODELS[name])
    return model, Layers(own_copy(model), inputs(size, size)), inputs(size, size, seed=2)


@contextmanager
def hooked(model: nn.Module, key: str, hook: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    handle = model.get_submodule(key).register_forward_hook(lambda module, arguments, output: hook(output))
    try:
        yield
    finally:
        handle.remove()


def channels_first(name: str, output: Tensor, layer: Layer) -> Tensor:
    """(B, C, H, W), of a module's output, by what is known of the model."""
    channels, rows, columns = layer.shape
    if output.ndim == 3:  # tokens, row by row, the class token and registers first
        return torch.stack([output[:, output.shape[1] - rows * columns + row * columns:][:, :columns]
                            for row in range(rows)], 1).permute(0, 3, 1, 2)
    if name == "swin" and layer.key != "permute":
        return torch.einsum("bhwc->bchw", output)
    assert output.shape[1] == channels
    return output


@pytest.mark.parametrize("name", MODELS)
def test_maps_are_what_a_hook_sees_and_the_answer_to_them_is_the_models(name):
    model, layers, x = model_and_layers(name)
    assert len(layers.all) >= 2
    for layer in layers.all:
        seen: list[Tensor] = []
        with torch.no_grad(), hooked(model, layer.key, lambda output, seen=seen: seen.append(output.clone())):
            logits = model(x)
        maps = layers.maps(x, layer.key)
        assert tuple(maps.shape[1:]) == layer.shape
        torch.testing.assert_close(maps, channels_first(name, seen[0], layer), atol=0, rtol=0)
        kept = maps.clone()
        assert worst(layers.answer(x, layer.key, maps), logits) <= 1e-5
        assert torch.equal(maps, kept)  # operations in place after it do not reach the caller's
    torch.testing.assert_close(layers.logits(x), logits)


@pytest.mark.parametrize("name", ["small", "densenet", "swin", "timm's ViT, registers", "torchvision's ViT"])
def test_gradients_of_the_answer_are_those_that_a_hook_finds(name):
    model, layers, x = model_and_layers(name)
    for layer in layers.all:
        seen: list[Tensor] = []

        def hook(output: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(output.detach().clone().requires_grad_())
            return seen[0].clone()

        with hooked(model, layer.key, hook):
            reference = torch.autograd.grad(model(x)[0, 3], seen[0])[0]
        maps = layers.maps(x, layer.key).requires_grad_()
        got = torch.autograd.grad(layers.answer(x, layer.key, maps)[0, 3], maps)[0]
        largest = float(reference.abs().max())
        assert largest > 0
        torch.testing.assert_close(got, channels_first(name, reference, layer), atol=1e-5 * largest, rtol=1e-4)


@pytest.mark.parametrize("name", ["small", "densenet", "swin", "timm's ViT", "flattens"])
def test_other_maps_give_the_answer_that_a_hook_gets_with_them(name):
    model, layers, x = model_and_layers(name)
    layer = layers.all[len(layers.all) // 2]

    def halved(output: Tensor) -> Tensor:
        changed = output.clone()
        rows, columns = layer.shape[1:]
        if output.ndim == 3:
            changed[:, output.shape[1] - rows * columns + columns:] *= 0.5  # all but the first row of positions
        elif name == "swin":
            changed[:, 1:] *= 0.5
        else:
            changed[:, :, 1:] *= 0.5
        return changed

    with torch.no_grad(), hooked(model, layer.key, halved):
        reference = model(x)
    maps = layers.maps(x, layer.key)
    maps[:, :, 1:] *= 0.5
    with torch.no_grad():
        assert worst(reference, layers.logits(x)) > 1e-4
        assert worst(layers.answer(x, layer.key, maps), reference) <= 1e-5


@pytest.mark.parametrize("name", ["small", "swin", "resnet"])
def test_maps_at_another_size_are_what_a_hook_sees_there(name):
    model, layers, _ = model_and_layers(name)
    x = inputs(64, 96, batch=2)
    for layer in layers.all:
        seen: list[Tensor] = []
        with torch.no_grad(), hooked(model, layer.key, lambda output, seen=seen: seen.append(output.clone())):
            logits = model(x)
        maps = layers.maps(x, layer.key)
        torch.testing.assert_close(maps, channels_first(name, seen[0], layer), atol=0, rtol=0)
        assert abs(maps.shape[3] / maps.shape[2] - 1.5) < 0.2
        assert worst(layers.answer(x, layer.key, maps), logits) <= 1e-5


def test_the_layers_of_a_resnet_are_its_stages():
    layers = model_and_layers("resnet")[1]
    assert [(layer.key, layer.shape) for layer in layers.all] == [
        ("relu", (64, 32, 32)), ("maxpool", (64, 16, 16)), ("layer1", (64, 16, 16)), ("layer2", (128, 8, 8)),
        ("layer3", (256, 4, 4)), ("layer4", (512, 2, 2))]


class CallsInVain(Small):
    """Its second branch is run, and its answer thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.vain = nn.Sequential(nn.Conv2d(CHANNELS, 5, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x)
        self.vain(maps)
        return self.fc(self.pool(maps).flatten(1))


def test_layers_whose_maps_nobody_reads_are_left_out():
    assert [layer.key for layer in Layers(own_copy(seeded(CallsInVain)), inputs()).all] == ["stem", "block"]
    keys = [layer.key for layer in model_and_layers("timm's ViT")[1].all]
    assert "blocks.1" in keys  # the last block whose patch tokens a class token reads
    assert "blocks.2" not in keys
    averaged = model_and_layers("timm's ViT, averaged")[1].all
    assert averaged[-1].key == "norm"  # all patch tokens are read to the end


def test_a_layer_that_is_not_there_is_refused_with_those_that_are():
    layers = model_and_layers("small")[1]
    for ask in (layers.of, lambda key: layers.maps(inputs(), key), lambda key: layers.attention(inputs(), key),
                lambda key: layers.answer(inputs(), key, inputs())):
        with pytest.raises(MethodError, match=r"There is no layer 'block\.1'; expected one of stem, block\."):
            ask("block.1")
    with pytest.raises(MethodError, match="no other layers"):
        Layers().of("stem")


def _attention_by_hand(query: Tensor, key: Tensor) -> Tensor:
    """(heads, N) of (heads, N, d): how much the first token looks at each of all."""
    product = torch.einsum("hd,hnd->hn", query[:, 0], key) / key.shape[-1] ** 0.5
    return product.exp() / product.exp().sum(-1, keepdim=True)


@pytest.mark.parametrize("block", [0, 1])
@torch.no_grad()
def test_the_class_tokens_attention_in_timms_vit_is_softmax_of_queries_and_keys(block):
    model, layers, x = model_and_layers("timm's ViT")
    after = model.blocks[block + 1]
    tokens = model._pos_embed(model.patch_embed(x))
    for item in model.blocks[: block + 1]:
        tokens = item(tokens)
    query, key, _ = after.attn.qkv(after.norm1(tokens))[0].unflatten(-1, (3, 3, 8)).permute(1, 2, 0, 3)
    reference = _attention_by_hand(query, key)[:, 1:]
    torch.testing.assert_close(layers.attention(x, f"blocks.{block}"), reference.reshape(3, 4, 4), atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_the_class_tokens_attention_in_torchvisions_vit_is_softmax_of_queries_and_keys():
    model, layers, x = model_and_layers("torchvision's ViT")
    seen: list[Tensor] = []
    with hooked(model, "encoder.layers.encoder_layer_1", lambda output: seen.append(output.clone())):
        model(x)
    block = model.encoder.layers.encoder_layer_2
    tokens = block.ln_1(seen[0])[0]
    query, key, _ = (tokens @ block.self_attention.in_proj_weight.T + block.self_attention.in_proj_bias).unflatten(
        -1, (3, 2, 6)).permute(1, 2, 0, 3)
    reference = _attention_by_hand(query, key)[:, 1:].reshape(2, 4, 4)
    key = next(layer.key for layer in layers.all if layer.key.endswith("encoder_layer_1"))
    torch.testing.assert_close(layers.attention(x, key), reference, atol=1e-6, rtol=1e-4)


def test_a_network_without_attention_has_none():
    _, layers, x = model_and_layers("small")
    assert layers.attention(x, "block") is None
    _, layers, x = model_and_layers("swin")
    assert all(layers.attention(x, layer.key) is None for layer in layers.all)


@pytest.mark.parametrize("named", [{"global_pool": "avg"}, {"global_pool": "avg", "class_token": False},
                                   {"global_pool": "max"}, {"global_pool": "avgmax"}])
def test_a_vit_that_averages_its_patch_tokens_has_a_pooling_of_them(named):
    model = seeded(lambda: timm_vit(**named))
    network = network_of(model)
    assert network.pooling.key == {"avg": "gap", "max": "gmp", "avgmax": "mixed"}[named["global_pool"]]
    prefix = 0 if "class_token" in named else 1
    with torch.no_grad():
        tokens = model.forward_features(inputs())[:, prefix:]
        torch.testing.assert_close(network.backbone(inputs()), tokens.transpose(1, 2).unflatten(2, (4, 4)))
        assert worst(network(inputs()), model(inputs())) <= 1e-5


def test_threads_look_at_different_layers_of_one_network_without_meeting():
    _, layers, x = model_and_layers("small")
    other = inputs(seed=5)
    reference = {(key, n): layers.maps(item, key) for key in ("stem", "block") for n, item in enumerate((x, other))}
    logits = layers.logits(x)

    def look(key: str, n: int) -> bool:
        return all(torch.equal(layers.maps((x, other)[n], key), reference[key, n]) for _ in range(60))

    def answer(key: str) -> bool:
        zero = torch.zeros_like(reference[key, 0])
        first = layers.answer(x, key, zero)
        return all(torch.equal(layers.answer(x, key, zero), first) and torch.equal(layers.logits(x), logits)
                   for _ in range(60))

    with ThreadPoolExecutor(6) as threads:
        done = [threads.submit(look, *key) for key in reference] + [threads.submit(answer, key)
                                                                 for key in ("stem", "block")]
        assert all(item.result(60) for item in done)


# How maps lie in a tensor


@given(kind=st.sampled_from([("first", 0), ("last", 0), ("tokens", 0), ("tokens", 1), ("tokens", 5)]),
       batch=st.integers(1, 3), channels=st.integers(1, 5), rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_maps_put_back_where_they_came_from_are_the_tensor_itself(kind, batch, channels, rows, columns):
    arrangement, size = Arrangement(*kind), (rows * 16, columns * 16)
    shape = {"first": (batch, channels, rows, columns), "last": (batch, rows, columns, channels),
             "tokens": (batch, kind[1] + rows * columns, channels)}[kind[0]]
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    maps = arrangement.maps(tensor, size)
    assert maps.shape == (batch, channels, rows, columns)
    assert torch.equal(arrangement.put_back(tensor, maps), tensor)
    zero = arrangement.put_back(tensor, torch.zeros_like(maps))
    assert float(arrangement.maps(zero, size).abs().sum()) == 0
    if kind[0] == "tokens":
        assert torch.equal(zero[:, : kind[1]], tensor[:, : kind[1]])


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), stride=st.sampled_from([8, 16, 32]))
def test_positions_fill_the_grid_of_the_inputs_aspect(rows, columns, stride):
    assert grid_of(rows * columns, (rows * stride, columns * stride)) == (rows, columns)


@pytest.mark.parametrize(("shape", "size", "reference"), [
    ((1, 512, 7, 7), (224, 224), Arrangement("first")), ((1, 7, 7, 512), (224, 224), Arrangement("last")),
    ((1, 5, 7, 512), (160, 224), Arrangement("last")), ((1, 512, 5, 7), (160, 224), Arrangement("first")),
    ((1, 49, 64), (224, 224), Arrangement("tokens", 0)), ((1, 50, 64), (224, 224), Arrangement("tokens", 1)),
    ((1, 51, 64), (224, 224), Arrangement("tokens", 2)), ((1, 201, 64), (224, 224), Arrangement("tokens", 5)),
    ((1, 64), (224, 224), None), ((1, 8, 3, 7, 7), (224, 224), None), ((1, 512, 2, 40), (224, 224), None),
])
def test_how_a_tensor_holds_maps_is_told_from_its_shape(shape, size, reference):
    assert arrangement_of(torch.zeros(shape), size) == reference
    assert arrangement_of(torch.zeros(shape, dtype=torch.long), size) is None


# Found wrong


def test_of_two_pairs_of_sides_the_smaller_is_the_grid():
    assert arrangement_of(torch.zeros(1, 7, 7, 8), (224, 224)).kind == "last"


class Tutorial(nn.Module):
    """PyTorch's own CIFAR tutorial: one MaxPool2d, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool, self.conv2 = nn.Conv2d(3, 6, 5), nn.MaxPool2d(2, 2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(16 * 5 * 5, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(functional.relu(self.conv1(x)))
        x = self.pool(functional.relu(self.conv2(x)))
        return self.fc2(functional.relu(self.fc1(torch.flatten(x, 1))))


class OneReluForAll(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 1, 1)
        self.relu, self.fc = nn.ReLU(), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("make", [Tutorial, OneReluForAll])
def test_a_module_that_is_called_twice_is_a_layer_of_one_of_its_calls(make):
    model = seeded(make)
    network, x = network_of(model), inputs(seed=4)
    for layer in network.layers.all:
        maps = network.layers.maps(x, layer.key)
        assert tuple(maps.shape[1:]) == layer.shape
        assert worst(network.layers.answer(x, layer.key, maps), network.layers.logits(x)) <= 1e-5


class ReluByWhere(Small):
    def maps(self, x: Tensor) -> Tensor:
        maps = super().maps(x) - 0.1
        return torch.where(maps > 0, maps, torch.zeros_like(maps))


def test_layers_before_a_choice_by_where_matter():
    assert [layer.key for layer in network_of(seeded(ReluByWhere)).layers.all] == ["stem", "block"]


@pytest.mark.parametrize(("make", "key"), [
    (lambda: timm_vit(reg_tokens=4), "blocks.0"),
    (lambda: VisionTransformerDistilled(img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3, num_classes=5),
     "blocks.0"),
])
def test_a_class_token_beside_other_tokens_looks_at_the_patches(make, key):
    model = seeded(make)
    x = inputs()
    prefix = model.num_prefix_tokens
    with torch.no_grad():
        tokens = model.blocks[0](model._pos_embed(model.patch_embed(x)))
        after = model.blocks[1]
        query, keys, _ = after.attn.qkv(after.norm1(tokens))[0].unflatten(-1, (3, 3, 8)).permute(1, 2, 0, 3)
    reference = _attention_by_hand(query, keys)[:, prefix:].reshape(3, 4, 4)
    torch.testing.assert_close(network_of(model).layers.attention(x, key), reference, atol=1e-6, rtol=1e-4)


def test_tokens_without_a_class_token_have_no_class_tokens_attention():
    network = network_of(seeded(lambda: timm_vit(global_pool="avg", class_token=False)))
    assert network.layers.attention(inputs(), "blocks.0") is None


def test_a_vit_with_registers_alone_has_its_blocks_as_layers():
    network = network_of(seeded(lambda: timm_vit(reg_tokens=4, class_token=False, global_pool="avg")))
    assert "blocks.0" in [layer.key for layer in network.layers.all]


class FrozenBackbone(Small):
    """As people fine-tune a head alone."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            maps = self.maps(x)
        return self.fc(self.pool(maps).flatten(1))


def test_layers_inside_no_grad_to_which_no_gradient_comes_back_are_not_offered():
    assert network_of(seeded(FrozenBackbone)).layers.all == ()


class Flips(Small):
    """Answers with the average over the photo and its mirror image: each module is called twice."""

    def forward(self, x: Tensor) -> Tensor:
        return (super().forward(x) + super().forward(x.flip(-1))) / 2


def test_the_answer_of_a_model_that_looks_twice_is_its_own():
    network, x = network_of(seeded(Flips)), inputs()
    for layer in network.layers.all:
        got = network.layers.answer(x, layer.key, network.layers.maps(x, layer.key))
        assert worst(got, network.layers.logits(x)) <= 1e-5


def test_a_layer_that_is_not_reached_is_refused_in_a_sentence():
    class Stops(Small):
        def forward(self, x: Tensor) -> Tensor:
            if x.abs().max() == 0:
                return self.fc.bias[None]
            return super().forward(x)

    layers = network_of(seeded(Stops)).layers
    with pytest.raises(MethodError, match="The layer block was not reached with an input of 32 x 32 px"):
        layers.maps(torch.zeros(1, 3, 32, 32), "block")


def test_a_model_of_functions_alone_has_no_layers_and_is_refused_or_cut():
    class Functions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.last = nn.Parameter(torch.randn(6, 3, 4, 4)), nn.Parameter(torch.randn(5, 6))

        def forward(self, x: Tensor) -> Tensor:
            return functional.conv2d(x, self.weight, stride=4).relu().mean((2, 3)) @ self.last.T

    model = seeded(Functions)
    network = Network.from_module(model, Preprocessing(size=32))
    assert network.pooling.key == "gap"
    assert network.layers.all == ()
    with torch.no_grad():
        assert worst(network(inputs()), model(inputs())) <= 1e-5


def test_hooks_of_the_callers_that_change_the_answer_count():
    model = seeded(Small)
    model.block.register_forward_hook(lambda module, arguments, output: 2 * output)
    network = network_of(model)
    with torch.no_grad():
        assert worst(network(inputs()), model(inputs())) <= 1e-5
        assert worst(network.head(network.pooling(network.backbone(inputs()))), model(inputs())) <= 1e-5


def test_a_module_of_a_functions_name_alone_is_no_layer():
    layers = Layers(own_copy(seeded(lambda: Small(Does(lambda maps: maps.mean((2, 3)))))), inputs())
    assert [layer.key for layer in layers.all] == ["stem", "block"]
