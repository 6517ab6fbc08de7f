#!/usr/bin/env python3
"""Writes the tensors of a PyTorch checkpoint as safetensors, which `spp run --weights` reads.

    tools/pth_to_safetensors.py yolox_nano.pth yolox_nano.safetensors

Nothing in the checkpoint is run: it is read with weights_only=True. One that holds a whole pickled model, as
Ultralytics' do, is refused; save model.state_dict() where the model's code is installed.
"""

import argparse
import os
import pickle
import re
import sys

# Beside which, in a training checkpoint, stand optimizers, epochs and more; the averaged weights are those to use.
WRAPPERS = ("ema", "model_ema", "state_dict", "model_state_dict", "model", "net", "weights")


def unwrapped(checkpoint):
    """The part of a checkpoint that holds the weights."""
    while isinstance(checkpoint, dict):
        inner = next((checkpoint[key] for key in WRAPPERS if isinstance(checkpoint.get(key), dict)), None)
        if inner is None:
            break
        checkpoint = inner
    return checkpoint


def flattened(tree, prefix=""):
    """Tensors by dotted names; what is no tensor is left out."""
    import torch

    if isinstance(tree, torch.Tensor):
        yield prefix, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from flattened(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(tree, (list, tuple)):
        for i, value in enumerate(tree):
            yield from flattened(value, f"{prefix}.{i}" if prefix else str(i))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a .pth or .pt file")
    parser.add_argument("output", help="the file to write")
    parser.add_argument(
        "--prefix", default="", metavar="model.9.", help="take only names that begin so, and leave that away"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the output")
    args = parser.parse_args()

    if os.path.lexists(args.output) and not args.force:
        sys.exit(f"error: {args.output}: exists; --force overwrites it")
    try:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import save_file
    except ImportError as error:
        sys.exit(f"error: {error}; pip install torch safetensors")
    try:
        checkpoint = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    except OSError as error:
        sys.exit(f"error: {args.checkpoint}: {error.strerror or error}")
    except pickle.UnpicklingError as error:
        hint = "save model.state_dict() where its code is installed: torch.save(model.state_dict(), 'weights.pth')"
        found = re.search(r"GLOBAL (\S+)", str(error))
        if not found:
            sys.exit(f"error: {args.checkpoint}: is no checkpoint of PyTorch")
        sys.exit(f"error: {args.checkpoint}: holds an object of {found[1]}, and to read it would be to run it; {hint}")
    except (RuntimeError, EOFError, ValueError, LookupError):
        sys.exit(f"error: {args.checkpoint}: is no checkpoint of PyTorch, or a damaged one")

    # Contiguous copies: safetensors holds no views and nothing twice.
    tensors = {
        name[len(args.prefix) :]: tensor.detach().to_dense().contiguous().clone()
        for name, tensor in flattened(unwrapped(checkpoint))
        if name.startswith(args.prefix)
    }
    if not tensors:
        sys.exit(f"error: {args.checkpoint}: no tensor has a name that begins with '{args.prefix}'")
    temporary = f"{args.output}.{os.getpid()}.tmp"
    try:
        save_file(tensors, temporary)
        os.replace(temporary, args.output)
    except (OSError, SafetensorError) as error:
        sys.exit(f"error: {args.output}: {error}")
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
    count = lambda n, what: f"{n:,} {what}" + ("" if n == 1 else "s")
    values = sum(tensor.numel() for tensor in tensors.values())
    print(f"{args.output}: {count(len(tensors), 'tensor')}, {count(values, 'value')}")


if __name__ == "__main__":
    main()
