#!/usr/bin/env python3
"""Exports the small models of this folder: NAME.onnx, and in NAME.safetensors an input and what the model makes of it.

    pip install torch torchvision onnx onnxscript onnxruntime safetensors
    tests/data/models/export.py [NAME ...]

Weights are random, from a fixed seed. The truth is PyTorch's in f64, which ONNX Runtime must agree with. The networks
are torchvision's (BSD-3-Clause) with few channels, or written here after the papers.
"""

import copy
import os
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch import nn
from torchvision.models import densenet, mobilenetv3, resnet, shufflenetv2, squeezenet
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation import deeplabv3, lraspp

HERE = os.path.dirname(os.path.abspath(__file__))


def layer(i, o, k=1, s=1, d=1, g=1, act=nn.SiLU):
    """Convolution, batch norm, activation."""
    return nn.Sequential(
        nn.Conv2d(i, o, k, s, d * (k // 2), d, g, bias=False), nn.BatchNorm2d(o), act() if act else nn.Identity()
    )


class Shortcut(nn.Module):
    def __init__(self, c, act=nn.SiLU):
        super().__init__()
        self.a, self.b = layer(c, c, 3, act=act), layer(c, c, 3, act=act)

    def forward(self, x):
        return x + self.b(self.a(x))


class SplitStage(nn.Module):
    """Half of the channels go through blocks one after the other; all results are concatenated."""

    def __init__(self, c, hidden, depth, chunk):
        super().__init__()
        self.first, self.last = layer(c, 2 * hidden), layer((2 + depth) * hidden, c)
        self.blocks = nn.ModuleList(Shortcut(hidden) for _ in range(depth))
        self.hidden, self.chunk = hidden, chunk

    def forward(self, x):
        y = self.first(x)
        parts = list(y.chunk(2, 1) if self.chunk else y.split((self.hidden, self.hidden), 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Pools(nn.Module):
    """Max pools of one map, or one of the other, beside it."""

    def __init__(self, chained, first=True):
        super().__init__()
        self.pools = nn.ModuleList(nn.MaxPool2d(k, 1, k // 2) for k in ((5, 5, 5) if chained else (5, 9, 13)))
        self.chained, self.first = chained, first

    def forward(self, x):
        parts = [x]
        for pool in self.pools:
            parts.append(pool(parts[-1] if self.chained else x))
        return torch.cat(parts if self.first else parts[::-1], 1)


def spatial_pyramid(c, hidden, chained, act=nn.SiLU):
    return nn.Sequential(layer(c, hidden, act=act), Pools(chained), layer(4 * hidden, c, act=act))


class CrossStage(nn.Module):
    """Spatial pyramid pooling in one of two branches: SPPCSPC, SPPFCSPC, CSPSPPF, SimCSPSPPF."""

    def __init__(self, c, hidden, chained, beside_first=False, act=nn.SiLU):
        super().__init__()
        self.cv1, self.cv2 = layer(c, hidden, act=act), layer(c, hidden, act=act)
        self.cv3, self.cv4 = layer(hidden, hidden, 3, act=act), layer(hidden, hidden, act=act)
        self.pools = Pools(chained)
        self.cv5, self.cv6 = layer(4 * hidden, hidden, act=act), layer(hidden, hidden, 3, act=act)
        self.cv7 = layer(2 * hidden, c, act=act)
        self.beside_first = beside_first

    def forward(self, x):
        y = self.cv6(self.cv5(self.pools(self.cv4(self.cv3(self.cv1(x))))))
        parts = (self.cv2(x), y) if self.beside_first else (y, self.cv2(x))
        return self.cv7(torch.cat(parts, 1))


class ReceptiveFields(nn.Module):
    """BasicRFB: branches that end in dilated convolutions, added to a shortcut."""

    def __init__(self, c, hidden):
        super().__init__()
        plain = dict(act=None)
        self.branches = nn.ModuleList(
            [
                nn.Sequential(layer(c, hidden, act=nn.ReLU), layer(hidden, hidden, 3, **plain)),
                nn.Sequential(
                    layer(c, hidden, act=nn.ReLU), layer(hidden, hidden, 3, act=nn.ReLU), layer(hidden, hidden, 3, d=3, **plain)
                ),
                nn.Sequential(
                    layer(c, hidden, act=nn.ReLU),
                    layer(hidden, hidden, 3, act=nn.ReLU),
                    layer(hidden, hidden, 3, act=nn.ReLU),
                    layer(hidden, hidden, 3, d=5, **plain),
                ),
            ]
        )
        self.linear, self.shortcut = layer(3 * hidden, c, **plain), layer(c, c, **plain)

    def forward(self, x):
        y = self.linear(torch.cat([branch(x) for branch in self.branches], 1))
        return F.relu(y * 0.1 + self.shortcut(x))


class Attention(nn.Module):
    """Attention between pixels, and a depthwise convolution of the values for positions."""

    def __init__(self, c, heads):
        super().__init__()
        self.heads, self.key = heads, c // heads // 2
        self.qkv = layer(c, 2 * c, act=None)
        self.position, self.out = layer(c, c, 3, g=c, act=None), layer(c, c, act=None)

    def forward(self, x):
        n, c, h, w = x.shape
        parts = self.qkv(x).view(n, self.heads, 2 * c // self.heads, h * w)
        q, k, v = parts.split([self.key, self.key, c // self.heads], 2)
        weights = (q.transpose(-2, -1) @ k * self.key**-0.5).softmax(-1)
        y = (v @ weights.transpose(-2, -1)).view(n, c, h, w) + self.position(v.reshape(n, c, h, w))
        return x + self.out(y)


class TokenAttention(nn.Module):
    """A transformer's layer over pixels as tokens."""

    def __init__(self, c, heads):
        super().__init__()
        self.norm, self.norm2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.qkv, self.out = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.mlp = nn.Sequential(nn.Linear(c, 2 * c), nn.GELU(), nn.Linear(2 * c, c))
        self.heads = heads

    def forward(self, x):
        n, c, h, w = x.shape
        x = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(x)).reshape(n, h * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = F.softmax(q @ k.transpose(-2, -1) / (c // self.heads) ** 0.5, -1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, h * w, c))
        return (x + self.mlp(self.norm2(x))).transpose(1, 2).reshape(n, c, h, w)


class Maps(nn.Module):
    """Three maps, at strides of 4, 8 and 16, with what is seen in the large passed back to the small."""

    def __init__(self, c):
        super().__init__()
        self.stem = nn.Sequential(layer(3, c, 3, 2), layer(c, c, 3, 2))
        self.down, self.down2 = layer(c, 2 * c, 3, 2), layer(2 * c, 2 * c, 3, 2)
        self.up = nn.Upsample(scale_factor=2)
        self.merge, self.merge2 = layer(4 * c, 2 * c), layer(3 * c, c)

    def forward(self, x):
        a = self.stem(x)
        b = self.down(a)
        c = self.down2(b)
        b = self.merge(torch.cat((self.up(c), b), 1))
        return self.merge2(torch.cat((self.up(b), a), 1)), b, c


def centres(maps, strides):
    points, steps = [], []
    for y, stride in zip(maps, strides):
        h, w = y.shape[-2:]
        rows, columns = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
        points.append(torch.stack((columns, rows), -1).view(-1, 2))
        steps.append(torch.full((h * w, 1), float(stride)))
    return torch.cat(points).T.unsqueeze(0), torch.cat(steps).T


class DistanceHead(nn.Module):
    """Boxes by the distances of their sides from each point, which are expectations over bins."""

    strides = (4, 8, 16)

    def __init__(self, c, classes, bins, top=None):
        super().__init__()
        self.maps, self.bins, self.classes, self.top = Maps(c), bins, classes, top
        self.sides = nn.ModuleList(nn.Sequential(layer(i, c, 3), nn.Conv2d(c, 4 * bins, 1)) for i in (c, 2 * c, 2 * c))
        self.scores = nn.ModuleList(nn.Sequential(layer(i, c, 3), nn.Conv2d(c, classes, 1)) for i in (c, 2 * c, 2 * c))
        self.expect = nn.Conv2d(bins, 1, 1, bias=False)
        self.expect.weight.data[:] = torch.arange(bins, dtype=torch.float).view(1, bins, 1, 1)

    def forward(self, x):
        maps = self.maps(x)
        n = x.shape[0]
        maps = [torch.cat((side(y), score(y)), 1) for side, score, y in zip(self.sides, self.scores, maps)]
        points, steps = (part.to(x.dtype) for part in centres(maps, self.strides))
        every = torch.cat([y.view(n, 4 * self.bins + self.classes, -1) for y in maps], 2)
        sides, scores = every.split((4 * self.bins, self.classes), 1)
        sides = sides.view(n, 4, self.bins, -1).transpose(2, 1).softmax(1)
        before, after = self.expect(sides).view(n, 4, -1).chunk(2, 1)
        low, high = points - before, points + after
        if self.top is None:
            boxes = torch.cat(((low + high) / 2, high - low), 1) * steps
            return torch.cat((boxes, scores.sigmoid()), 1)
        boxes, scores = (torch.cat((low, high), 1) * steps).transpose(1, 2), scores.sigmoid().transpose(1, 2)
        # The best points by their best class, then the best of their classes.
        _, index = torch.topk(scores.amax(-1), self.top)
        index = index.unsqueeze(-1)
        boxes = torch.gather(boxes, 1, index.repeat(1, 1, 4))
        scores = torch.gather(scores, 1, index.repeat(1, 1, self.classes))
        best, index = torch.topk(scores.flatten(1), self.top)
        labels, index = index % self.classes, index // self.classes
        boxes = boxes.gather(1, index.unsqueeze(-1).repeat(1, 1, 4))
        return torch.cat((boxes, best.unsqueeze(-1), labels.unsqueeze(-1).to(boxes.dtype)), -1)


class AnchorHead(nn.Module):
    """Boxes from anchors, decoded with assignments in place or without."""

    anchors = (((3, 4), (6, 5)), ((9, 8), (12, 20)), ((25, 20), (30, 40)))
    strides = (4, 8, 16)

    def __init__(self, c, classes, in_place):
        super().__init__()
        self.maps, self.fields, self.in_place = Maps(c), 5 + classes, in_place
        self.heads = nn.ModuleList(nn.Conv2d(i, 2 * self.fields, 1) for i in (c, 2 * c, 2 * c))

    def forward(self, x):
        found = []
        for head, y, anchors, stride in zip(self.heads, self.maps(x), self.anchors, self.strides):
            y = head(y)
            n, _, h, w = y.shape
            y = y.view(n, 2, self.fields, h, w).permute(0, 1, 3, 4, 2).contiguous().sigmoid()
            rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            grid = torch.stack((columns, rows), 2).view(1, 1, h, w, 2).to(y.dtype)
            sizes = torch.tensor(anchors, dtype=y.dtype).view(1, 2, 1, 1, 2)
            if self.in_place:
                y[..., 0:2] = (y[..., 0:2] * 2.0 - 0.5 + grid) * stride
                y[..., 2:4] = (y[..., 2:4] * 2) ** 2 * sizes
            else:
                centre, size, rest = y.split((2, 2, self.fields - 4), 4)
                y = torch.cat(((centre * 2 - 0.5 + grid) * stride, (size * 2) ** 2 * sizes, rest), 4)
            found.append(y.view(n, -1, self.fields))
        return torch.cat(found, 1)


class Spelt(nn.Module):
    """Activations in operators of their own, as exporters and authors spell them."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


SPELT = {
    "silu": lambda x: x * torch.sigmoid(x),
    "hardswish": lambda x: x * F.relu6(x + 3) / 6,
    "hard sigmoid gate": lambda x: x * F.hardtanh(x + 3, 0.0, 6.0) / 6.0,
    "mish": lambda x: x * torch.tanh(F.softplus(x)),
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
    "gelu by tanh": lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
}


def spelt():
    parts = [part for f in SPELT.values() for part in (layer(6, 6, 3, act=None), Spelt(f))]
    return nn.Sequential(nn.Conv2d(3, 6, 1), *parts)


def activations():
    parts = [nn.GELU(), nn.GELU("tanh"), nn.Mish(), nn.Hardswish(), nn.SiLU(), nn.ELU(0.5), nn.LeakyReLU(0.1)]
    parts += [nn.PReLU(6), nn.Softplus(), nn.Hardsigmoid(), nn.ReLU6(), nn.Tanh(), nn.Sigmoid()]
    return nn.Sequential(nn.Conv2d(3, 6, 1), *[part for act in parts for part in (nn.Conv2d(6, 6, 3, 1, 1), act)])


class Gate(nn.Module):
    """Squeeze and excitation, and attention over space, after a depthwise convolution."""

    def __init__(self, c):
        super().__init__()
        self.first, self.last = layer(3, c, 3, 2, act=nn.Hardswish), layer(c, c, 3, g=c, act=nn.ReLU)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, 4, 1), nn.ReLU(), nn.Conv2d(4, c, 1))
        self.space = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        x = self.last(self.first(x))
        x = x * F.hardsigmoid(self.squeeze(x))
        seen = torch.cat((x.mean(1, True), x.amax(1, True)), 1)
        return x * torch.sigmoid(self.space(seen))


class Focus(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = layer(12, c, 3, act=nn.Hardswish)

    def forward(self, x):
        parts = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        return self.conv(torch.cat(parts, 1))


class Upscale(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 6, 4, 2, 1)
        self.up2 = nn.ConvTranspose2d(6, 8, 3, 2, 1, output_padding=1, groups=2)
        self.conv, self.shuffle, self.last = nn.Conv2d(8, 24, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(6, 3, 3)

    def forward(self, x):
        y = self.shuffle(self.conv(F.relu(self.up2(F.leaky_relu(self.up(x), 0.2)))))
        y = self.last(F.pad(y, (1, 1, 1, 1), "reflect"))
        size = [2 * int(extent) for extent in x.shape[-2:]]
        linear = F.interpolate(y, size=size, mode="bilinear", align_corners=False)
        corners = F.interpolate(y, scale_factor=0.5, mode="bilinear", align_corners=True)
        return linear, corners, F.interpolate(x, scale_factor=2.0, mode="bicubic", align_corners=False)


class Swapped(nn.Module):
    """Parts of a map in another order, at starts that are no multiple of four, beside what is made of them."""

    def __init__(self):
        super().__init__()
        self.first, self.inner, self.last = layer(3, 14, 3), layer(7, 7, 3), layer(35, 8)

    def forward(self, x):
        y = self.first(x)
        a, b = y.chunk(2, 1)
        c = self.inner(b)
        return self.last(torch.cat((b, a, c, a + c, y[:, 3:10]), 1)), y[:, 5:9]


def squeeze():
    fires = (squeezenet.Fire(8, 4, 8, 8), squeezenet.Fire(16, 4, 8, 8), nn.MaxPool2d(3, 2, ceil_mode=True))
    last = (squeezenet.Fire(16, 6, 12, 12), nn.Dropout(), nn.Conv2d(24, 10, 1), nn.ReLU())
    first = (nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True))
    return nn.Sequential(*first, *fires, *last, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def mobile(dilated=False):
    rows = [
        # in, kernel, expanded, out, gate, activation, stride, dilation
        (8, 3, 8, 8, True, "RE", 2, 1),
        (8, 3, 24, 16, False, "RE", 2, 1),
        (16, 3, 24, 16, False, "RE", 1, 1),
        (16, 5, 32, 16, True, "HS", 2, 2 if dilated else 1),
        (16, 5, 40, 16, True, "HS", 1, 2 if dilated else 1),
    ]
    settings = [mobilenetv3.InvertedResidualConfig(*row, 1.0) for row in rows]
    return mobilenetv3.MobileNetV3(settings, 32, num_classes=10)


class Segmenter(nn.Module):
    """Only the map of classes, not the dictionary that torchvision's models return."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)["out"]


def lite_segmenter():
    backbone = IntermediateLayerGetter(mobile(True).features, {"3": "low", "6": "high"})
    return Segmenter(lraspp.LRASPP(backbone, 16, 96, 5, 16))


def deeplab():
    backbone = IntermediateLayerGetter(mobile(True).features, {"5": "out"})
    head = nn.Sequential(deeplabv3.ASPP(16, (2, 4, 6), 12), *layer(12, 12, 3, act=nn.ReLU), nn.Conv2d(12, 5, 1))
    return Segmenter(deeplabv3.DeepLabV3(backbone, head))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 7, 2, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        shortcut = nn.Sequential(nn.Conv2d(12, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
        bottleneck = resnet.Bottleneck(16, 4, groups=2, base_width=64)
        self.blocks = nn.Sequential(resnet.BasicBlock(12, 12), resnet.BasicBlock(12, 16, 2, shortcut), bottleneck)
        self.last = nn.Linear(16, 10)

    def forward(self, x):
        return self.last(F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1))


class PooledBoxes(nn.Module):
    """One box a picture, of class 4, that the mean colour moves: for as many pictures as there are."""

    def __init__(self):
        super().__init__()
        self.row = nn.Linear(3, 6)
        self.row.weight.data = torch.tensor([[8.0, 0, 0], [0, 8, 0], [0, 0, 8], [4, 4, 0], [0.1, 0, 0.1], [0, 0, 0]])
        self.row.bias.data = torch.tensor([0.0, 1, 16, 20, 0.5, 4])

    def forward(self, x):
        return self.row(F.adaptive_avg_pool2d(x, 1).flatten(1)).unsqueeze(1)


def body(*blocks):
    """Blocks of 16 channels behind a stem."""
    return nn.Sequential(layer(3, 16, 3, 2), *blocks)


# The model, the input's shape, the opset, whether dynamo exports it, the input's dimensions that stay open.
MODELS = {
    "squeezenet": (squeeze, (1, 3, 47, 47), 9, False, {}),
    "mobilenet": (mobile, (1, 3, 64, 48), 13, False, {}),
    "lraspp": (lite_segmenter, (1, 3, 64, 48), 18, True, {}),
    "deeplab": (deeplab, (1, 3, 48, 64), 11, False, {}),
    "resnet": (Residual, (1, 3, 48, 48), 20, True, {}),
    "shufflenet": (lambda: shufflenetv2.ShuffleNetV2([2, 2, 1], [8, 12, 24, 36, 40], 10), (1, 3, 64, 64), 12, False, {}),
    "densenet": (lambda: densenet.DenseNet(6, (2, 3), 10, 2, num_classes=10), (1, 3, 64, 64), 14, False, {0: "batch"}),
    "split_stage": (lambda: body(SplitStage(16, 6, 2, True)), (1, 3, 32, 40), 17, False, {2: "height", 3: "width"}),
    "split_stage_dynamo": (lambda: body(SplitStage(16, 8, 2, False)), (1, 3, 32, 40), 18, True, {}),
    "sppf": (lambda: body(spatial_pyramid(16, 6, True)), (1, 3, 32, 40), 15, False, {}),
    "simsppf": (lambda: body(spatial_pyramid(16, 8, True, nn.ReLU)), (1, 3, 32, 40), 18, True, {}),
    "spp": (lambda: body(spatial_pyramid(16, 8, False)), (1, 3, 32, 40), 9, False, {}),
    "sppcspc": (lambda: body(CrossStage(16, 8, False)), (1, 3, 32, 40), 12, False, {}),
    "sppfcspc": (lambda: body(CrossStage(16, 8, True)), (1, 3, 32, 40), 13, False, {}),
    "cspsppf": (lambda: body(CrossStage(16, 8, True, True)), (1, 3, 32, 40), 14, False, {}),
    "simcspsppf": (lambda: body(CrossStage(16, 8, True, True, nn.ReLU)), (1, 3, 32, 40), 20, True, {}),
    "rfb": (lambda: body(ReceptiveFields(16, 6)), (1, 3, 32, 40), 10, False, {}),
    "distance_head": (lambda: DistanceHead(8, 5, 8), (1, 3, 64, 48), 12, False, {0: "batch"}),
    "distance_head_dynamo": (lambda: DistanceHead(8, 5, 8), (1, 3, 64, 48), 19, True, {}),
    "end_to_end_head": (lambda: DistanceHead(8, 5, 8, 10), (1, 3, 64, 48), 13, False, {}),
    "pooled_boxes": (PooledBoxes, (2, 3, 32, 32), 13, False, {}),
    "anchor_head": (lambda: AnchorHead(8, 4, False), (1, 3, 64, 48), 16, False, {}),
    "anchor_head_in_place": (lambda: AnchorHead(8, 4, True), (1, 3, 64, 48), 11, False, {}),
    "attention": (lambda: body(Attention(16, 2)), (1, 3, 24, 16), 17, False, {}),
    "token_attention": (lambda: body(TokenAttention(16, 4)), (1, 3, 24, 16), 18, True, {}),
    "focus": (lambda: Focus(10), (1, 3, 32, 40), 10, False, {}),
    "upscale": (Upscale, (1, 3, 10, 14), 11, False, {}),
    "swapped": (Swapped, (1, 3, 12, 10), 13, False, {}),
    "gate": (lambda: Gate(12), (1, 3, 32, 24), 18, False, {}),
    "spelt": (spelt, (1, 3, 12, 10), 9, False, {}),
    "activations": (activations, (1, 3, 12, 10), 20, True, {}),
}


def randomized(model):
    """Batch norms as if trained."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
            nn.init.normal_(part.running_mean, 0, 0.2)
            nn.init.uniform_(part.running_var, 0.2, 0.6)
    return model.eval()


def export(name):
    make, shape, opset, dynamo, open_dims = MODELS[name]
    torch.manual_seed(len(name) + sum(map(ord, name)))
    model, x = randomized(make()), torch.rand(shape) * 2 - 1
    path = os.path.join(HERE, f"{name}.onnx")
    options = dict(opset_version=opset, input_names=["input"])
    if dynamo:
        torch.onnx.export(model, (x,), path, dynamo=True, external_data=False, verbose=False, **options)
    else:
        axes = {"input": open_dims} if open_dims else None
        torch.onnx.export(model, (x,), path, dynamo=False, dynamic_axes=axes, **options)
    file = onnx.load(path)
    for node in file.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    del file.graph.value_info[:], file.graph.metadata_props[:], file.metadata_props[:]
    onnx.checker.check_model(file)
    onnx.save(file, path)

    with torch.no_grad():
        wide = copy.deepcopy(model).double()(x.double())
    truth = [y.numpy() for y in (wide if isinstance(wide, tuple) else (wide,))]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    tensors = {"in.input": x.numpy()}
    for output, want, got in zip(names, truth, session.run(names, {"input": x.numpy()}), strict=True):
        worst = np.abs(got - want).max() / np.abs(want).max()
        assert got.shape == want.shape and worst < 2e-5, f"{name}: ONNX Runtime is off by {worst:.1e}"
        tensors[f"out.{output}"] = np.ascontiguousarray(want.astype(np.float32))
    save_file(tensors, os.path.join(HERE, f"{name}.safetensors"))
    opsets = [opset.version for opset in file.opset_import if not opset.domain]
    print(f"{name}: {os.path.getsize(path)} bytes, opset {opsets[0]}, {len(file.graph.node)} nodes")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for chosen in sys.argv[1:] or MODELS:
        export(chosen)
