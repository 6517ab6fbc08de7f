"""One peer holding one case: writes its adapter and error, then the milliseconds of N runs for each line N it reads.

usage: worker.py PEER DIR CASE
"""

import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
from safetensors import safe_open


def torch(path, inputs, outputs):
    import torch

    module = torch.jit.freeze(torch.jit.load(f"{path}.pt").eval())
    tensors = [torch.from_numpy(x) for x in inputs.values()]

    def run():
        with torch.inference_mode():
            return [module(*tensors).numpy()]

    for _ in range(2):  # TorchScript compiles in its first runs.
        run()
    return "CPU", run


def ort(provider):
    def load(path, inputs, outputs):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Threads that spin between runs would slow down whoever runs next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if provider != "CPUExecutionProvider":
            # Without an adapter, or for an operator it lacks, it would compute on the CPU and say nothing.
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        session = onnxruntime.InferenceSession(f"{path}.onnx", options, providers=[provider], enable_fallback=0)
        return drivers() or "CPU", lambda: session.run(None, inputs)

    return load


def drivers():
    """The Vulkan drivers in this process, as ONNX Runtime does not report its adapter."""
    maps = Path("/proc/self/maps")
    text = maps.read_text() if maps.exists() else ""
    return " ".join(sorted(set(re.findall(r"lib(?:vulkan_\w+|GLX_nvidia)\.so", text))))


def ncnn(vulkan):
    def load(path, inputs, outputs):
        import ncnn

        net = ncnn.Net()
        net.opt.use_vulkan_compute = vulkan
        net.opt.num_threads = os.cpu_count()
        for option in (
            "use_fp16_packed",
            "use_fp16_storage",
            "use_fp16_arithmetic",
            "use_bf16_packed",
            "use_bf16_storage",
        ):
            setattr(net.opt, option, False)
        if net.load_param(f"{path}.ncnn.param") or net.load_model(f"{path}.ncnn.bin"):
            raise RuntimeError("ncnn does not load it")
        # Its tensors have no dimension for the batch.
        images = [ncnn.Mat(np.ascontiguousarray(x[0])) for x in inputs.values()]

        def run():
            with net.create_extractor() as extractor:
                for i, image in enumerate(images):
                    extractor.input(f"in{i}", image)
                return [np.array(extractor.extract(f"out{i}")[1]) for i in range(outputs)]

        name = ncnn.get_gpu_info(ncnn.get_default_gpu_index()).device_name() if vulkan else "CPU"
        return name, run

    return load


PEERS = {
    "ncnn_vulkan": ncnn(True),
    "ort_webgpu": ort("WebGpuExecutionProvider"),
    "ncnn_cpu": ncnn(False),
    "ort_cpu": ort("CPUExecutionProvider"),
    "torch": torch,
}


def timed(run):
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def relative_error(got, want):
    """The largest of all outputs."""

    def of(y, y0):
        y0 = y0.ravel().astype(np.float64)
        return np.linalg.norm(y.ravel() - y0) / np.linalg.norm(y0)

    error = float(np.max([of(y, y0) for y, y0 in zip(got, want, strict=True)]))
    return error if np.isfinite(error) else None


def tensors(path):
    """Inputs and outputs by their names in the ONNX file, in its order."""
    with safe_open(f"{path}.safetensors", "np") as file:
        if "input" in file.keys():  # of a block; models.py names them
            return {"x": file.get_tensor("input")}, {"y": file.get_tensor("output")}
        order = file.metadata()
        named = lambda key, prefix: {name: file.get_tensor(f"{prefix}.{name}") for name in json.loads(order[key])}
        return named("inputs", "in"), named("outputs", "out")


def main():
    # Libraries print to stdout, which belongs to the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer = lambda value: print(json.dumps(value), file=answers, flush=True)
    peer, directory, case = sys.argv[1:]
    path = Path(directory) / case
    try:
        inputs, outputs = tensors(path)
        adapter, run = PEERS[peer](path, inputs, len(outputs))
        answer({"adapter": adapter, "error": relative_error(run(), outputs.values())})
    except Exception as error:
        # ONNX Runtime puts what happened last, after the place in its source.
        answer({"failed": " ".join(str(error).split())[-200:]})
        return
    for line in sys.stdin:
        run()
        answer([timed(run) for _ in range(int(line))])


main()
