"""Times this crate and its peers in turn on one adapter: milliseconds from host tensor in to host tensor out.

A round is N runs of ours, then N of each peer; the table has medians of the rounds' medians. A ratio is ours over the
fastest GPU peer whose error against PyTorch's output is small enough; peers on the CPU are shown, not counted.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from statistics import geometric_mean, median

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ON_GPU = ("ncnn_vulkan", "ort_webgpu")
ON_CPU = ("ncnn_cpu", "ort_cpu", "torch")
MOST_ERROR = 1e-3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", metavar="DIR", type=Path, help="what export.py and models.py wrote")
    parser.add_argument("cases", metavar="CASE", nargs="*", help="all of DIR if none is given")
    parser.add_argument("--peers", default=",".join(ON_GPU), help=f"of {','.join(ON_GPU + ON_CPU)} [%(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="[%(default)s]")
    parser.add_argument("--runs", type=int, default=5, help="in each round [%(default)s]")
    parser.add_argument("--mesa", metavar="SUITE", help="run all on this Debian suite's llvmpipe, by scripts/with-mesa")
    parser.add_argument("--spp", default=ROOT / "target/release/spp", help="[target/release/spp]")
    parser.add_argument("--python", help="one with requirements.txt installed [DIR/venv/bin/python]")
    parser.add_argument("--webgpu-python", help="one with requirements-webgpu.txt installed [DIR/webgpu/bin/python]")
    parser.add_argument("--json", action="store_true", help="print one object instead of the table")
    args = parser.parse_intermixed_args()
    args.python = args.python or args.dir / "venv/bin/python"
    args.webgpu_python = args.webgpu_python or args.dir / "webgpu/bin/python"
    args.peers = args.peers.split(",")
    if unknown := set(args.peers) - {*ON_GPU, *ON_CPU}:
        parser.error(f"no peer is called {', '.join(sorted(unknown))}")
    if min(args.rounds, args.runs) < 1:
        parser.error("rounds and runs must be one or more")
    for program in (args.spp, *(interpreter(peer, args) for peer in args.peers)):
        if not Path(program).is_file():
            parser.error(f"there is no {program}")
    args.through = [ROOT / "scripts/with-mesa", args.mesa] if args.mesa else []
    args.blocks = [case["name"] for case in json.loads((ROOT / "assets/canonical.json").read_text())]
    exported = {file.stem for file in args.dir.glob("*.safetensors")}
    if missing := set(args.cases) - exported:
        parser.error(f"{args.dir} has no {', '.join(sorted(missing))}; run export.py or models.py")
    models = sorted(exported - set(args.blocks))
    args.cases = args.cases or [name for name in args.blocks if name in exported] + models
    return args


def interpreter(peer, args):
    return args.webgpu_python if peer == "ort_webgpu" else args.python


class Failed(Exception):
    """A peer cannot compute a case."""


class Peer:
    """A worker process that holds one case."""

    def __init__(self, name, case, args):
        command = [*args.through, interpreter(name, args), HERE / "worker.py", name, args.dir, case]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        self.rounds = []

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"its process ended with {self.process.wait()}")
        value = json.loads(line)
        if "failed" in value:
            raise Failed(value["failed"])
        return value

    def load(self):
        value = self.answer()
        self.adapter, self.error = value["adapter"], value["error"]

    def round(self, runs):
        try:
            self.process.stdin.write(f"{runs}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # The answer says how it ended.
        self.rounds.append(median(self.answer()))

    def close(self):
        self.process.kill()
        self.process.communicate()


def spp(args, *command, fine=(0,)):
    done = subprocess.run([*args.through, args.spp, *map(str, command), "--json"], capture_output=True, text=True)
    if done.returncode not in fine:
        sys.exit(f"spp {' '.join(map(str, command))}: {done.stderr.strip()}")
    return json.loads(done.stdout)[0]


def measure(case, args):
    tensors, model = args.dir / f"{case}.safetensors", args.dir / f"{case}.onnx"
    if case in args.blocks:
        verify, bench = [tensors], case
    else:
        verify, bench = [model, "--input", tensors, "--expect", tensors], model
    nmse = spp(args, "verify", *verify, fine=(0, 1))["nmse"]
    error = None if nmse is None else math.sqrt(nmse)
    ours = {"error": error, "right": error is not None and error <= MOST_ERROR, "rounds": []}
    row = {"case": case, "ours": ours}
    peers = {}
    try:
        for name in args.peers:
            peers[name] = Peer(name, case, args)
            attempt(row, peers, name, Peer.load)
        for _ in range(args.rounds):
            timed = spp(args, "bench", bench, "--runs", args.runs, "--seconds", 0, "--no-peak")
            ours["adapter"] = f"{timed['adapter']}, {timed['driver']}"
            ours["rounds"].append(timed["wall_ms"]["median"])
            for name in list(peers):
                attempt(row, peers, name, lambda peer: peer.round(args.runs))
        for name, peer in peers.items():
            right = peer.error is not None and peer.error <= MOST_ERROR
            row[name] = {"error": peer.error, "right": right, "rounds": peer.rounds, "adapter": peer.adapter}
    finally:
        for peer in peers.values():
            peer.close()
    for name in ("ours", *peers):
        row[name]["ms"] = median(row[name]["rounds"])
    rivals = [row[name]["ms"] for name in peers if name in ON_GPU and row[name]["right"]]
    row["ratio"] = ours["ms"] / min(rivals) if rivals and ours["right"] else None
    return row


def attempt(row, peers, name, action):
    try:
        action(peers[name])
    except Failed as failed:
        row[name] = {"failed": str(failed)}
        peers.pop(name).close()


def cells(result):
    if "failed" in result:
        return f"{'failed':>16}{'-':>8}"
    error = "-" if result["error"] is None else f"{result['error']:.0e}"
    return f"{result['ms']:16.1f}{error if result['right'] else error + '!':>8}"


def main():
    args = arguments()
    names = ("ours", *args.peers)
    if not args.json:
        print("case".ljust(28) + "".join(f"{name:>13} ms{'error':>8}" for name in names) + "   ratio", flush=True)
    rows = []
    for case in args.cases:
        row = measure(case, args)
        rows.append(row)
        for name in names:
            if "failed" in row[name]:
                print(f"{case}: {name} failed: {row[name]['failed']}", file=sys.stderr)
        if not args.json:
            ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
            print(f"{case:<28}{''.join(cells(row[name]) for name in names)}{ratio:>8}", flush=True)
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    mean = geometric_mean(ratios) if ratios else None
    if args.json:
        print(json.dumps({"rounds": args.rounds, "runs": args.runs, "cases": rows, "ratio": mean}, indent=1))
        return
    if mean is not None:
        print(f"\ngeometric mean of {len(ratios)} ratios: {mean:.2f}")
    adapters = {(name, row[name]["adapter"]) for row in rows for name in names if "adapter" in row[name]}
    for name, adapter in sorted(adapters):
        print(f"{name}: {adapter}")
    print(f"! over {MOST_ERROR}, or not verified: wrong, not counted")


main()
