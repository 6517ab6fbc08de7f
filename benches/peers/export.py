"""Writes the blocks of canonical.json as ONNX, TorchScript and ncnn, with one input and PyTorch's output.

usage: export.py DIR [CASE...]; all blocks if no case is named; whole networks are left out
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pnnx
import torch
from blocks import BLOCKS, randomised
from safetensors.torch import save_file

CANONICAL = Path(__file__).parents[2] / "assets" / "canonical.json"


def export(case, out):
    name, shape = case["name"], case["shape"]
    torch.manual_seed(1)
    module = randomised(BLOCKS[case["block"]](**case["args"]))
    x = torch.randn(shape)
    with torch.no_grad():
        y = module(x)
    # A case file, so that `spp verify` computes the same with the same weights.
    weights = {f"weights.{key}": value for key, value in module.state_dict().items() if value.is_floating_point()}
    metadata = {"block": case["block"], "args": json.dumps(case["args"])}
    save_file({"input": x, "output": y.contiguous(), **weights}, out / f"{name}.safetensors", metadata)
    torch.onnx.export(module, (x,), out / f"{name}.onnx", opset_version=17, input_names=["x"], dynamo=False)
    torch.jit.trace(module, x).save(out / f"{name}.pt")
    dims = ",".join(map(str, shape))
    command = [pnnx.EXEC_PATH, f"{name}.pt", f"inputshape=[{dims}]", "fp16=0"]
    subprocess.run(command, cwd=out, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    for rest in (*out.glob(f"{name}.pnnx.*"), *out.glob(f"{name}_*.py")):
        rest.unlink()
    print(name, shape, list(y.shape), f"std {y.std():.2f}", flush=True)


def main():
    warnings.simplefilter("ignore")
    out, names = Path(sys.argv[1]), sys.argv[2:]
    out.mkdir(parents=True, exist_ok=True)
    for case in json.loads(CANONICAL.read_text()):
        if case["block"] in BLOCKS and (not names or case["name"] in names):
            export(case, out)


main()
