"""Writes ONNX models and ncnn's form of them, with one input and what ONNX Runtime computes from it on the CPU.

usage: models.py DIR MODEL.onnx[=TENSORS.safetensors]...

The inputs are the tensors in.NAME of TENSORS or, if none is given, of the file MODEL.safetensors; without it they are
random.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pnnx
from onnx import helper, numpy_helper
from safetensors.numpy import load_file, save_file


def initializers_are_constants(graph):
    """Old exporters list weights among the inputs. ONNX Runtime folds nothing into such, and says to mend the file."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)


def merge_focus(graph):
    """ncnn has no slices with a step, of which Focus has four. Focus and the 3x3 convolution after it compute the same
    sums as one 6x6 convolution with stride 2, which YOLOv5 has in their place since its version 6."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}

    def source(name):
        """The tensor of which this takes every second value, and the first one in each direction."""
        offset = {2: 0, 3: 0}
        for _ in range(2):
            node = made_by.get(name)
            if node is None or node.op_type != "Slice" or not {*node.input[1:]} <= {*weights}:
                return None
            start, _, axis, step = (int(numpy_helper.to_array(weights[i]).item()) for i in node.input[1:])
            if step != 2 or axis not in offset:
                return None
            offset[axis], name = start, node.input[0]
        return name, offset[2], offset[3]

    for conv in [node for node in graph.node if node.op_type == "Conv"]:
        concat = made_by.get(conv.input[0])
        if concat is None or concat.op_type != "Concat" or len(concat.input) != 4:
            continue
        sources = [source(name) for name in concat.input]
        if None in sources or len({name for name, *_ in sources}) != 1 or len(set(sources)) != 4:
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
        if attributes != {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1], "dilations": [1, 1], "group": 1}:
            continue
        kernel = numpy_helper.to_array(weights[conv.input[1]])
        channels = kernel.shape[1] // 4
        merged = np.zeros((kernel.shape[0], channels, 6, 6), kernel.dtype)
        for i, (_, y, x) in enumerate(sources):
            merged[:, :, y::2, x::2] = kernel[:, i * channels : (i + 1) * channels]
        name = f"{conv.input[1]}_merged"
        graph.initializer.append(numpy_helper.from_array(merged, name))
        conv.input[0], conv.input[1] = sources[0][0], name
        del conv.attribute[:]
        changed = {"kernel_shape": [6, 6], "pads": [2] * 4, "strides": [2, 2]}
        conv.attribute.extend(helper.make_attribute(key, value) for key, value in changed.items())


def inputs(graph, tensors):
    if tensors.exists():
        given = load_file(tensors)
        return {value.name: given[f"in.{value.name}"] for value in graph.input}
    random = np.random.default_rng(1)
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in graph.input}
    if any(0 in shape for shape in shapes.values()):
        raise SystemExit(f"its inputs have symbolic dimensions: give {tensors}")
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def to_ncnn(model, x, path):
    with tempfile.TemporaryDirectory() as folder:
        merge_focus(model.graph)
        onnx.save(model, f"{folder}/model.onnx")
        shapes = ",".join(f"[{','.join(map(str, value.shape))}]" for value in x.values())
        command = [pnnx.EXEC_PATH, "model.onnx", f"inputshape={shapes}", "fp16=0"]
        command += [f"ncnn{kind}={path.resolve()}.ncnn.{kind}" for kind in ("param", "bin")]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
        if done.returncode:
            print(f"{path.name}: pnnx ended with {done.returncode}", file=sys.stderr)


def prepare(source, tensors, out):
    path = out / source.stem
    model = onnx.load(source)
    initializers_are_constants(model.graph)
    x = inputs(model.graph, tensors)
    onnx.save(model, f"{path}.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(f"{path}.onnx", options, providers=["CPUExecutionProvider"])
    y = dict(zip((value.name for value in session.get_outputs()), session.run(None, x)))
    # A file has no order of tensors, the peers' inputs and outputs have.
    order = {"inputs": json.dumps([*x]), "outputs": json.dumps([*y])}
    named = {f"in.{name}": value for name, value in x.items()} | {f"out.{name}": value for name, value in y.items()}
    save_file(named, f"{path}.safetensors", order)
    to_ncnn(model, x, path)
    shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in named.items())
    print(f"{path.name}: {shapes}", flush=True)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for argument in sys.argv[2:]:
        source, _, tensors = argument.partition("=")
        if Path(source).resolve().parent == out.resolve():
            sys.exit(f"{source} would be overwritten: give another DIR than its own")
        prepare(Path(source), Path(tensors or Path(source).with_suffix(".safetensors")), out)


main()
