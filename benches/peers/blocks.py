"""The blocks as PyTorch modules, with the state_dict keys of their upstream projects."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Conv(nn.Module):
    """YOLO's Conv2d + BatchNorm + activation; keys conv.weight, bn.*"""

    def __init__(self, c1, c2, k=1, s=1, act=nn.SiLU, eps=1e-3):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, k // 2, bias=False)
        self.bn = nn.BatchNorm2d(c2, eps=eps)
        self.act = act()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class BlockConv(nn.Module):
    """YOLOv6's ConvBNReLU / ConvBNSiLU: a Conv under .block (older YOLOv6 releases do without it)."""

    def __init__(self, *args, **kw):
        super().__init__()
        self.block = Conv(*args, **kw)

    def forward(self, x):
        return self.block(x)


class Spp(nn.Module):
    """YOLOv3-SPP / YOLOv5 <= v5 SPP with parallel pools."""

    def __init__(self, c1, c2, k=(5, 9, 13), act=nn.SiLU):
        super().__init__()
        h = c1 // 2
        self.cv1 = Conv(c1, h, act=act)
        self.cv2 = Conv(h * (len(k) + 1), c2, act=act)
        self.k = k

    def forward(self, x):
        x = self.cv1(x)
        return self.cv2(torch.cat([x] + [F.max_pool2d(x, k, 1, k // 2) for k in self.k], 1))


class Sppf(nn.Module):
    """YOLOv5 SPPF (SiLU); YOLOv6 SimSPPF with ReLU; YOLO26's with a shortcut and a cv1 without activation."""

    def __init__(self, c1, c2, k=5, act=nn.SiLU, conv=Conv, n=3, shortcut=False, cv1_activation=None):
        super().__init__()
        h = c1 // 2
        self.cv1 = conv(c1, h, act=nn.Identity if cv1_activation == "none" else act)
        self.cv2 = conv(h * (n + 1), c2, act=act)
        self.k, self.n, self.shortcut = k, n, shortcut and c1 == c2

    def forward(self, x):
        y = [self.cv1(x)]
        y.extend(F.max_pool2d(y[-1], self.k, 1, self.k // 2) for _ in range(self.n))
        y = self.cv2(torch.cat(y, 1))
        return y + x if self.shortcut else y


class SppElan(nn.Module):
    """YOLOv9 SPPELAN: cv2 to cv4 are its pools."""

    def __init__(self, c1, c2, c3, k=5, act=nn.SiLU):
        super().__init__()
        self.cv1 = Conv(c1, c3, act=act)
        self.cv5 = Conv(4 * c3, c2, act=act)
        self.k = k

    def forward(self, x):
        y = [self.cv1(x)]
        y.extend(F.max_pool2d(y[-1], self.k, 1, self.k // 2) for _ in range(3))
        return self.cv5(torch.cat(y, 1))


class Yolov6Sppf(nn.Module):
    """YOLOv6 wraps SPPFModule as .sppf"""

    def __init__(self, c1, c2, k=5, act=nn.ReLU, conv=BlockConv):
        super().__init__()
        self.sppf = Sppf(c1, c2, k, act, conv)

    def forward(self, x):
        return self.sppf(x)


class CspSppfModule(nn.Module):
    def __init__(self, c1, c2, k=5, e=0.5, act=nn.ReLU, conv=BlockConv):
        super().__init__()
        h = int(c2 * e)
        self.cv1 = conv(c1, h, act=act)
        self.cv2 = conv(c1, h, act=act)
        self.cv3 = conv(h, h, 3, act=act)
        self.cv4 = conv(h, h, act=act)
        self.cv5 = conv(4 * h, h, act=act)
        self.cv6 = conv(h, h, 3, act=act)
        self.cv7 = conv(2 * h, c2, act=act)
        self.k = k

    def forward(self, x):
        x1 = self.cv4(self.cv3(self.cv1(x)))
        y0 = self.cv2(x)
        p = lambda t: F.max_pool2d(t, self.k, 1, self.k // 2)
        y1 = p(x1)
        y2 = p(y1)
        y3 = self.cv6(self.cv5(torch.cat([x1, y1, y2, p(y2)], 1)))
        return self.cv7(torch.cat((y0, y3), 1))


class CspSppf(nn.Module):
    """YOLOv6 CSPSPPF (SiLU) and SimCSPSPPF (ReLU), wrapped as .cspsppf"""

    def __init__(self, c1, c2, k=5, e=0.5, act=nn.ReLU, conv=BlockConv):
        super().__init__()
        self.cspsppf = CspSppfModule(c1, c2, k, e, act, conv)

    def forward(self, x):
        return self.cspsppf(x)


class SppCspc(nn.Module):
    """YOLOv7 SPPCSPC; fast=True is SPPFCSPC (cascaded pools)."""

    def __init__(self, c1, c2, e=0.5, k=(5, 9, 13), fast=False, act=nn.SiLU):
        super().__init__()
        h = int(2 * c2 * e)
        self.cv1 = Conv(c1, h, act=act)
        self.cv2 = Conv(c1, h, act=act)
        self.cv3 = Conv(h, h, 3, act=act)
        self.cv4 = Conv(h, h, act=act)
        self.cv5 = Conv(4 * h, h, act=act)
        self.cv6 = Conv(h, h, 3, act=act)
        self.cv7 = Conv(2 * h, c2, act=act)
        self.k, self.fast = k, fast

    def forward(self, x):
        x1 = self.cv4(self.cv3(self.cv1(x)))
        if self.fast:
            p = lambda t: F.max_pool2d(t, self.k[0], 1, self.k[0] // 2)
            a = p(x1)
            b = p(a)
            c = p(b)
            pools = [x1, a, b, c]
        else:
            pools = [x1] + [F.max_pool2d(x1, k, 1, k // 2) for k in self.k]
        y1 = self.cv6(self.cv5(torch.cat(pools, 1)))
        return self.cv7(torch.cat((y1, self.cv2(x)), 1))


class Aspp(nn.Module):
    """DeepLab v2 ASPP: the sum of dilated 3x3 convs with bias."""

    def __init__(self, c1, c2, rates=(6, 12, 18, 24)):
        super().__init__()
        for i, r in enumerate(rates):
            self.add_module(f"c{i}", nn.Conv2d(c1, c2, 3, 1, r, r, bias=True))

    def forward(self, x):
        return sum(stage(x) for stage in self.children())


class BasicConv(nn.Module):
    def __init__(self, c1, c2, k, s=1, p=0, d=1, relu=True):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, p, d, bias=False)
        self.bn = nn.BatchNorm2d(c2, eps=1e-5, momentum=0.01)
        self.relu = nn.ReLU() if relu else None

    def forward(self, x):
        x = self.bn(self.conv(x))
        return self.relu(x) if self.relu is not None else x


class BasicRfb(nn.Module):
    def __init__(self, c1, c2, stride=1, scale=0.1, visual=1):
        super().__init__()
        self.scale = scale
        m = c1 // 8
        C = BasicConv
        self.branch0 = nn.Sequential(C(c1, 2 * m, 1, stride), C(2 * m, 2 * m, 3, 1, visual, visual, False))
        self.branch1 = nn.Sequential(
            C(c1, m, 1), C(m, 2 * m, 3, stride, 1), C(2 * m, 2 * m, 3, 1, visual + 1, visual + 1, False)
        )
        self.branch2 = nn.Sequential(
            C(c1, m, 1),
            C(m, m // 2 * 3, 3, 1, 1),
            C(m // 2 * 3, 2 * m, 3, stride, 1),
            C(2 * m, 2 * m, 3, 1, 2 * visual + 1, 2 * visual + 1, False),
        )
        self.ConvLinear = C(6 * m, c2, 1, relu=False)
        self.shortcut = C(c1, c2, 1, stride, relu=False)

    def forward(self, x):
        y = torch.cat((self.branch0(x), self.branch1(x), self.branch2(x)), 1)
        return F.relu(self.ConvLinear(y) * self.scale + self.shortcut(x))


class BasicRfbA(nn.Module):
    def __init__(self, c1, c2, stride=1, scale=0.1):
        super().__init__()
        self.scale = scale
        m = c1 // 4
        C = BasicConv
        self.branch0 = nn.Sequential(C(c1, m, 1, 1), C(m, m, 3, 1, 1, relu=False))
        self.branch1 = nn.Sequential(C(c1, m, 1), C(m, m, (3, 1), 1, (1, 0)), C(m, m, 3, 1, 3, 3, False))
        self.branch2 = nn.Sequential(C(c1, m, 1), C(m, m, (1, 3), stride, (0, 1)), C(m, m, 3, 1, 3, 3, False))
        self.branch3 = nn.Sequential(
            C(c1, m // 2, 1),
            C(m // 2, m // 4 * 3, (1, 3), 1, (0, 1)),
            C(m // 4 * 3, m, (3, 1), stride, (1, 0)),
            C(m, m, 3, 1, 5, 5, False),
        )
        self.ConvLinear = C(4 * m, c2, 1, relu=False)
        self.shortcut = C(c1, c2, 1, stride, relu=False)

    def forward(self, x):
        y = torch.cat((self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)), 1)
        return F.relu(self.ConvLinear(y) * self.scale + self.shortcut(x))


def pyramid_pool(x, levels=(4, 2, 1), mode="padded"):
    """padded: the original code's, with integer padding ((w*n - size + 1) // 2), which fails for some sizes (padding
    over half the window); adaptive: bin i covers floor(i*size/n) .. ceil((i+1)*size/n)."""
    n, _, h, w = map(int, x.shape)  # Plain numbers, or a trace would compute the windows in the model.
    if mode == "adaptive":
        return torch.cat([F.adaptive_max_pool2d(x, b).reshape(n, -1) for b in levels], 1)
    out = []
    for bins in levels:
        kh, kw = math.ceil(h / bins), math.ceil(w / bins)
        ph, pw = (kh * bins - h + 1) // 2, (kw * bins - w + 1) // 2
        out.append(F.max_pool2d(x, (kh, kw), (kh, kw), (ph, pw)).reshape(n, -1))
    return torch.cat(out, 1)


class AsppV3(nn.Module):
    """DeepLab v3 ASPP with the state_dict keys of torchvision.models.segmentation.deeplabv3.ASPP."""

    def __init__(self, c1, c2=256, rates=(12, 24, 36)):
        super().__init__()
        cbr = lambda i, o, k, d: nn.Sequential(
            nn.Conv2d(i, o, k, padding=d if k == 3 else 0, dilation=d, bias=False), nn.BatchNorm2d(o), nn.ReLU()
        )
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c1, c2, 1, bias=False), nn.BatchNorm2d(c2), nn.ReLU())
        self.convs = nn.ModuleList([cbr(c1, c2, 1, 1)] + [cbr(c1, c2, 3, r) for r in rates] + [pool])
        self.project = nn.Sequential(
            nn.Conv2d(c2 * (len(rates) + 2), c2, 1, bias=False), nn.BatchNorm2d(c2), nn.ReLU(), nn.Dropout(0.5)
        )

    def forward(self, x):
        out = [conv(x) for conv in self.convs[:-1]]
        out.append(F.interpolate(self.convs[-1](x), size=x.shape[-2:], mode="bilinear", align_corners=False))
        return self.project(torch.cat(out, 1))


class PyramidPool(nn.Module):
    def __init__(self, levels=(4, 2, 1), mode="padded"):
        super().__init__()
        self.levels, self.mode = levels, mode

    def forward(self, x):
        return pyramid_pool(x, self.levels, self.mode)


BLOCKS = {
    "spp": Spp,
    "sppf": Sppf,
    "simsppf": lambda **a: Yolov6Sppf(act=nn.ReLU, **a),
    "cspsppf": lambda **a: CspSppf(act=nn.SiLU, **a),
    "simcspsppf": lambda **a: CspSppf(act=nn.ReLU, **a),
    "sppcspc": SppCspc,
    "sppfcspc": lambda **a: SppCspc(fast=True, **a),
    "sppelan": SppElan,
    "aspp": Aspp,
    "aspp_v3": AsppV3,
    "rfb": BasicRfb,
    "rfb_a": BasicRfbA,
    "pyramid_pool": PyramidPool,
}


def randomised(module, seed=0):
    """Weights and BN statistics that keep activations at unit scale, so that errors show."""
    g = torch.Generator().manual_seed(seed)
    for m in module.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            fan = m.weight[0].numel()
            m.weight.data = torch.randn(m.weight.shape, generator=g) * math.sqrt(2.0 / fan)
            if m.bias is not None:
                m.bias.data = torch.randn(m.bias.shape, generator=g) * 0.1
        elif isinstance(m, nn.BatchNorm2d):
            m.weight.data = torch.rand(m.weight.shape, generator=g) + 0.5
            m.bias.data = torch.randn(m.bias.shape, generator=g) * 0.2
            m.running_mean = torch.randn(m.bias.shape, generator=g) * 0.2
            m.running_var = torch.rand(m.bias.shape, generator=g) + 0.5
    return module.eval()
