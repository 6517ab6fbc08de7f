"""Counts what a driver's compiler made of kernels, from the files that the layer wrote.

A line has, of a kernel: registers, spills (stores and loads), scratch memory and waves, in the driver's own units; all
its instructions; and those of its hot loop, with multiply-adds and branches among them. Of a tiled convolution that is
one step of its sum as it is executed: what fills the tiles in workgroup memory with TILE_K input channels, and the
multiply-adds over them, an inner loop as often as it runs. Of another kernel it is the innermost loop with the most
multiply-adds, or the longest, once. Instructions that repeat, as Adreno's, count as often as they do.
"""

import argparse
import json
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "benches/static"

# Statistics by column; the driver has one of the names.
STATISTICS = {
    "registers": ["VGPRs", "Number of GPRs", "Max live registers", "GPRs", "Registers used"],
    "spills": ["Spilled VGPRs", "Spills to memory", "Spills", "STP Count"],
    "fills": ["Fills from memory", "Fills", "LDP Count"],
    "scratch": ["Scratch size", "SLM size", "Scratch Memory Size", "Scratch"],
    "waves": ["Subgroups per SIMD", "Max warps/SM", "Threads", "Max Waves Per Core"],
    "instructions": ["Instructions", "Instruction count", "Instruction Count"],
    "lanes": ["Lanes"],
}

# What a driver calls itself; what it is called and is not; and its units.
DRIVERS = {
    "radv": ("RADV", "Mesa's driver for AMD", "Registers are VGPRs; waves, those that fit a SIMD."),
    "NVK": ("NVK", "not NVIDIA's own driver", "Waves are the warps that fit an SM."),
    "Intel open-source Mesa driver": (
        "ANV",
        "Intel's driver for Linux",
        "Registers are the most that live at once; waves are not told.",
    ),
    "Honeykrisp": (
        "Honeykrisp",
        "not Metal",
        "Registers have 16 bits; waves are the threads that fit a core; there is no assembly to count in.",
    ),
    "turnip Mesa driver": (
        "Turnip",
        "not Qualcomm's own driver",
        "Waves are those that fit a core; memory that is not spilled to is not told.",
    ),
}

NONE = "–"  # noqa: RUF001

COLUMNS = [
    "kernel",
    "cases",
    "lanes",
    "registers",
    "spills",
    "scratch",
    "waves",
    "instructions",
    "loop",
    "multiply-adds",
    "share",
    "branches",
]

# --- Assembly ---

# Kinds of instructions by their opcodes: the first that fits.
Kinds = list[tuple[str, str]]
AMD: Kinds = [
    ("multiply-add", r"v_(dual_)?(pk_)?(fma|fmac|mad_f|mac_f|fmaak|fmamk)|v_dot|v_s?wmma"),
    ("store", r"ds_(write|store)"),
    ("branch", r"s_c?branch"),
]
NVIDIA: Kinds = [
    ("multiply-add", r"(ffma|hfma2|fma|hmma)\b"),
    ("store", r"st\.shared|sts"),
    ("branch", r"(bra|bssy|bsync|brk|exit|break|kill)\b"),
]
INTEL: Kinds = [
    ("multiply-add", r"mad|mac|dpas"),
    ("store", r"store\.slm"),
    ("branch", r"(if|else|endif|while|do|break|cont|jmpi|halt|goto|join)\b"),
]
ADRENO: Kinds = [
    ("multiply-add", r"mad\.f"),
    ("store", r"stl\b"),
    ("branch", r"(br|brao|braa|jump|bra|getone|shps|shpe|predt|predf|prede)\b"),
]


class Block(NamedTuple):
    """A basic block: its label, its instructions as opcode and line, and the labels it jumps to."""

    label: str
    code: list[tuple[str, str]]
    targets: list[str]
    falls_through: bool


def kind_of(opcode: str, kinds: Kinds) -> str:
    return next((kind for kind, pattern in kinds if re.match(pattern, opcode)), "other")


def amd_blocks(text: str) -> Iterator[Block]:
    """
    >>> list(amd_blocks("BB0:\\n\\ts_mov_b32 s0, 0 ; be800080\\n\\ts_cbranch_scc1 BB0 ; bf850001"))[0].targets
    ['BB0']
    """
    for label, lines in labelled(text, r"(BB\d+):"):
        code = [(found[1], found[0].strip()) for line in lines if (found := re.match(r"\s+([a-z]\w+)(?:\s.*)?$", line))]
        jumps = [(opcode, line.split(";")[0]) for opcode, line in code if re.match("s_c?branch", opcode)]
        targets = [target for _, line in jumps for target in re.findall(r"\bBB\d+\b", line)]
        yield Block(label, code, targets, all(opcode != "s_branch" for opcode, _ in jumps))


def nvidia_blocks(text: str) -> Iterator[Block]:
    """NAK names the blocks that may follow behind each.

    >>> list(nvidia_blocks("block 3 L1 [] -> {\\n  r0 = ffma r1 r2 r0\\n@!p0 bra L3\\n} -> [3, 4]"))[0][:3]
    ('3', [('ffma', 'r0 = ffma r1 r2 r0'), ('bra', '@!p0 bra L3')], ['3', '4'])
    """
    for label, lines in labelled(text, r"block(?:\.u)? (\d+) "):
        code, targets = [], []
        for line in lines:
            if after := re.match(r"\} -> \[(.*)\]", line):
                targets = [number.strip() for number in after[1].split(",") if number.strip()]
                continue
            words = re.sub(r"^\s*@\S+", "", line.split("//")[0]).split("=", 1)[-1].split()
            if words:
                code.append((words[0], line.strip()))
        yield Block(label, code, targets, False)


def intel_blocks(text: str) -> Iterator[Block]:
    """A loop ends in `while`. What a message does stands behind it; before Xe-HPG, 254 is workgroup memory.

    >>> line = "        send.slm (16) null r1 r2:4 0x02000080 {$1} // wr:1+4, rd:0; store.slm.d32x4.a32"
    >>> blocks = intel_blocks(f"L1:\\n{line}\\n(f0.0)  while (16) L1")
    >>> [(block.label, block.code[0][0], block.targets) for block in blocks]
    [('L1', 'store.slm', ['L1'])]
    """
    for label, lines in labelled(text, r"(L\d+):"):
        code, targets = [], []
        for line in lines:
            if not (found := re.match(r"(?:\([^)]*\))?\s+([a-z][\w.]*)", line)):
                continue
            opcode = found[1]
            if message := re.search(r"\b(load|store)[a-z_]*\.(slm|ugm)", line):
                opcode = f"{message[1]}.{message[2]}"
            elif re.search(r"untyped_write.*bti\(254\)", line):
                opcode = "store.slm"
            elif opcode == "while":
                targets.append(line.split()[-1])
            code.append((opcode, line.strip()))
        yield Block(label, code, targets, True)


def adreno_blocks(text: str) -> Iterator[Block]:
    """Labels are `l12:`; `(rpt3)` runs an instruction four times.

    >>> list(adreno_blocks("l1:\\n(sy)(rpt1)mad.f32 r0.x, (r)r1.x, r2.x, (r)r0.x\\n(ss)br !p0.x, #l1"))[0].targets
    ['l1']
    """
    for label, lines in labelled(text, r":?\d*:?\d*:?\s*(l\d+):"):
        code = []
        for line in lines:
            if found := re.match(r"\s*((?:\(\w+\))*)([a-z][\w.]*)", line):
                repeats = re.search(r"\(rpt(\d)\)", found[1])
                code += [(found[2], line.strip())] * (1 + int(repeats[1] if repeats else 0))
        targets = [target for _, line in code for target in re.findall(r"#(l\d+)", line)]
        yield Block(label, code, targets, not code or code[-1][0] != "jump")


def labelled(text: str, label: str) -> Iterator[tuple[str, list[str]]]:
    """The lines behind each label, and those before the first."""
    name = "start"
    lines: list[str] = []
    for line in text.splitlines():
        if found := re.match(label, line):
            if lines or name != "start":
                yield name, lines
            name, lines = found[1], []
        elif line.strip():
            lines.append(line)
    yield name, lines


class Assembly:
    """A kernel's basic blocks, and what its instructions are.

    >>> loop = "BB1:\\n ds_store_b128 v1, v2\\n v_fmac_f32 v0, v1, v2\\n s_cbranch_scc1 BB1"
    >>> text = f"BB0:\\n v_mov_b32 v0, 0\\n{loop}\\nBB2:\\n s_endpgm"
    >>> sorted(Assembly.read(text).hot_loop().items())
    [('branch', 1), ('multiply-add', 1), ('store', 1)]
    """

    def __init__(self, kinds: Kinds, blocks: Iterable[Block]):
        self.kinds = kinds
        self.blocks = list(blocks)
        self.loops = self.natural_loops()

    @classmethod
    def read(cls, text: str) -> "Assembly":
        if re.search(r"\bs_endpgm\b", text):
            return cls(AMD, amd_blocks(text))
        if re.search(r"^block(\.u)? \d+ ", text, re.M):
            return cls(NVIDIA, nvidia_blocks(text))
        if re.search(r"^\(W\)|\(\d+\)\s+r\d", text, re.M):
            return cls(INTEL, intel_blocks(text))
        return cls(ADRENO, adreno_blocks(text))

    def natural_loops(self) -> list[set[int]]:
        """The bodies of loops, blocks by number: of each jump back to a block on the path so far, what reaches it."""
        at = {block.label: i for i, block in enumerate(self.blocks)}
        after = []
        for i, block in enumerate(self.blocks):
            through = [i + 1] if block.falls_through and i + 1 < len(self.blocks) else []
            after.append([at[label] for label in block.targets if label in at] + through)
        before: list[list[int]] = [[] for _ in self.blocks]
        for i, targets in enumerate(after):
            for target in targets:
                before[target].append(i)
        back, on_path, done = set(), {0}, {0}
        stack = [(0, iter(after[0]))]
        while stack:
            i, rest = stack[-1]
            for target in rest:
                if target in on_path:
                    back.add((i, target))
                elif target not in done:
                    done.add(target)
                    on_path.add(target)
                    stack.append((target, iter(after[target])))
                    break
            else:
                on_path.remove(i)
                stack.pop()
        bodies: dict[int, set[int]] = {}
        for tail, head in back:
            body, todo = {head}, [tail]
            while todo:
                i = todo.pop()
                if i not in body:
                    body.add(i)
                    todo += before[i]
            bodies.setdefault(head, set()).update(body)
        return sorted(bodies.values(), key=lambda body: (len(body), min(body)))

    def counts(self, body: set[int]) -> Counter[str]:
        opcodes = [opcode for i in body for opcode, _ in self.blocks[i].code]
        return Counter(kind_of(opcode, self.kinds) for opcode in opcodes)

    def hot_body(self) -> set[int]:
        innermost = [body for body in self.loops if not any(other < body for other in self.loops)]
        key = lambda body: (self.counts(body)["multiply-add"], self.counts(body).total())  # noqa: E731
        return max(innermost, key=key, default=set())

    def hot_loop(self) -> Counter[str]:
        return self.counts(self.hot_body())

    def step(self, expected: int) -> Counter[str]:
        """One step of a convolution's sum: the smallest loop that fills tiles and adds up, with a loop of multiply-adds
        inside it, if the compiler left one, as often as makes `expected` of them."""
        adds = {id(body): self.counts(body)["multiply-add"] for body in self.loops}
        filling = [body for body in self.loops if adds[id(body)] >= 16 and self.counts(body)["store"]]
        if not filling:
            return self.hot_loop()
        outer = min(filling, key=len)
        total = self.counts(outer)
        inner = [body for body in self.loops if body < outer and adds[id(body)] >= 16]
        if inner:
            once = self.counts(max(inner, key=len))
            turns = max(1, round(expected / once["multiply-add"]))
            for kind, count in once.items():
                total[kind] += count * (turns - 1)
        return total


# --- Tables ---


def assembly_of(out: Path, name: str) -> Assembly | None:
    """Honeykrisp gives none."""
    for path in sorted(out.iterdir()):
        if path.name.startswith(f"{name}.") and re.search("assembly", path.name, re.I):
            return Assembly.read(path.read_text(errors="replace"))
    return None


def row(out: Path, source: Path) -> dict[str, str]:
    found = dict(line.split("\t") for line in (out / f"{source.stem}.stats").read_text().splitlines())
    cells = {"kernel": source.stem}
    for column, names in STATISTICS.items():
        cells[column] = next((found[name] for name in names if name in found), "")
    if fills := cells.pop("fills"):
        cells["spills"] += f"/{fills}" if (cells["spills"], fills) != ("0", "0") else ""
    if assembly := assembly_of(out, source.stem):
        # The constants are on the first line.
        constants = {
            name: int(value)
            for name, value in re.findall(r"const (\w+): u32 = (\d+)u;", source.read_text().split("\n")[0])
        }
        if "TILE_K" in constants:
            # An invocation has sums of eight or sixteen vec4s.
            each = 4 * (16 if "-sums_16" in source.stem else 8)
            loop = assembly.step(constants["TILE_K"] * each // constants["SPLIT_K"])
        else:
            loop = assembly.hot_loop()
        total, adds = loop.total(), loop["multiply-add"]
        if total:
            cells |= {"loop": str(total), "multiply-adds": str(adds), "branches": str(loop["branch"])}
        if adds:
            cells["share"] = f"{100 * adds / total:.0f} %"
    return cells


def by_numbers(name: str) -> list[tuple[str, int]]:
    """
    >>> sorted(["tile128", "tile32"], key=by_numbers)
    ['tile32', 'tile128']
    """
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]


def markdown(columns: list[str], rows: list[dict[str, str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(row.get(column) or NONE for column in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def checksum(sources: Iterable[Path]) -> str:
    """Of what compilers see of the kernels, in the order of their names: FNV-1a, as in tests/cpu/static_tables.rs."""
    value = 0xCBF29CE484222325
    for source in sorted(sources, key=lambda source: source.name):
        lines = (line.split("//")[0].strip() for line in source.read_text().splitlines())
        for byte in "".join(f"{line}\n" for line in lines if line).encode():
            value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return f"{value:016x}"


def page(chip: str, work: Path, profiles: str) -> str:
    """The table of a chip, from what `scripts/gpu-static tables` put into a folder, and what spp says of all chips."""
    sources = sorted((work / "kernels").iterdir(), key=lambda source: by_numbers(source.stem))
    rows = []
    for source in sources:
        cases = sorted(path.parent.name for path in (work / "cases").glob(f"*/{source.name}"))
        cells = row(work / "out", source)
        rows.append(cells | {"cases": ", ".join(cases) if len(cases) < 3 else f"{len(cases)} cases"})
    _, driver = (work / "out/adapter").read_text().splitlines()
    prefix = next(prefix for prefix in DRIVERS if driver.startswith(prefix))
    name, whose, units = DRIVERS[prefix]
    card = next(profile["card"] for profile in json.loads(profiles) if profile["name"] == chip)
    version = driver.removeprefix(prefix).strip()
    head = (
        f"**Nothing was executed.** This is what the compiler of {name}, {whose}, in {version} makes of the kernels "
        f"that all published shapes are planned with for this chip. {units} [README](README.md) says how to read it. "
        "Written by `scripts/gpu-static tables`."
    )
    head = textwrap.fill(head, 128, break_on_hyphens=False)
    return f"# {chip}: {card}\n\n{head}\n\n{markdown(COLUMNS, rows)}\n<!-- of kernels {checksum(sources)} -->\n"


def rows_of(page: str) -> list[dict[str, str]]:
    lines = [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in page.splitlines() if line.startswith("| ")
    ]
    return [dict(zip(lines[0], cells, strict=True)) for cells in lines[1:] if not cells[0].startswith("---")]


def kernels_with(rows: list[dict[str, str]], column: str) -> str:
    """How many have some.

    >>> kernels_with([{"spills": "0"}, {"spills": "3/4"}], "spills"), kernels_with([{"spills": NONE}], "spills") == NONE
    ('1', True)
    """
    told = [cells[column] for cells in rows if cells[column] != NONE]
    return str(sum(cell != "0" for cell in told)) if told else NONE


def summary() -> str:
    """A line for each page: how many kernels spill, and the least share of multiply-adds with each tile."""
    lines, versions = [], set()
    for path in sorted(TABLES.glob("*.md")):
        text = path.read_text()
        if not text.startswith(f"# {path.stem}: "):
            continue
        versions |= set(re.findall(r"in (Mesa \S+)", " ".join(text.split())))
        rows = rows_of(text)
        tiles: dict[str, list[int]] = {}
        for cells in rows:
            if tile := re.search(r"-tile(\d+x\d+x\d+)-", cells["kernel"]):
                tiles.setdefault(tile[1], []).extend(int(share) for share in re.findall(r"(\d+) %", cells["share"]))
        least = [
            f"{tile} {min(found)} %"
            for tile, found in sorted(tiles.items(), key=lambda item: by_numbers(item[0]))
            if found
        ]
        lines.append(
            {
                "chip": f"[`{path.stem}`](benches/static/{path.name})",
                "card": text.splitlines()[0].split(": ")[1],
                "kernels": str(len(rows)),
                "spill": kernels_with(rows, "spills"),
                "scratch": kernels_with(rows, "scratch"),
                "multiply-adds": ", ".join(least),
            }
        )
    table = markdown(list(lines[0]), sorted(lines, key=lambda line: line["card"]))
    return f"With {', '.join(sorted(versions))}:\n\n{table}"


def write_summary() -> None:
    """Puts the lines into the README, between two marks."""
    readme = ROOT / "README.md"
    before, _, after = re.split(r"(?s)(?<=<!-- static -->\n)(.*?)(?=<!-- static end -->)", readme.read_text())
    readme.write_text(before + summary() + after)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, arguments in {
        "page": ["chip", "work", "profiles"],
        "summary": [],
        "wgsl": ["out", "files"],
        "loop": ["out", "files"],
    }.items():
        sub = verbs.add_parser(verb)
        for name in arguments:
            sub.add_argument(name, nargs="+" if name == "files" else None)
    args = parser.parse_args()
    match args.verb:
        case "page":
            print(page(args.chip, Path(args.work), args.profiles), end="")
        case "summary":
            write_summary()
        case "wgsl":
            rows = [row(Path(args.out), Path(file)) for file in args.files]
            print(markdown([column for column in COLUMNS if column != "cases"], rows), end="")
        case "loop":
            for file in map(Path, args.files):
                if not (assembly := assembly_of(Path(args.out), file.stem)):
                    print("this driver gives no assembly", file=sys.stderr)
                    return 1
                print("\n".join(line for i in sorted(assembly.hot_body()) for _, line in assembly.blocks[i].code))
    return 0


if __name__ == "__main__":
    sys.exit(main())
