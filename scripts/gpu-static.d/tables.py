"""Counts what a driver's compiler made of kernels, from the files that the layer wrote.

A line has, of a kernel: registers, spills (stores and loads), scratch memory and waves, in the driver's own units; all
its instructions; and those of its hot loop, with multiply-adds, products of matrices and branches among them. Of a tiled
convolution that is one step of its sum as it is executed: what fills the tiles in workgroup memory with TILE_K input
channels, and the arithmetic over them, an inner loop as often as it runs. Of another kernel it is the innermost loop with
the most multiply-adds, or the longest, once. Instructions that repeat, as Adreno's, count as often as they do.
"""

import argparse
import json
import math
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
    "matrices",
    "share",
    "branches",
]

# --- Assembly ---

# Kinds of instructions by their opcodes: the first that fits.
Kinds = list[tuple[str, str]]
AMD: Kinds = [
    ("matrices", r"v_wmma"),
    ("multiply-add", r"v_(dual_)?(pk_)?(fma|fmac|mad_f|mac_f|fmaak|fmamk)|v_dot"),
    ("store", r"ds_(write|store)"),
    ("branch", r"s_c?branch"),
]
NVIDIA: Kinds = [
    ("matrices", r"hmma\b"),
    ("multiply-add", r"(ffma|hfma2|fma)\b"),
    ("store", r"st\.shared|sts"),
    ("branch", r"(bra|bssy|bsync|brk|exit|break|kill)\b"),
]
INTEL: Kinds = [
    ("matrices", r"dpas"),
    ("multiply-add", r"mad|mac"),
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


def instructions_a_product(opcode: str, size: int) -> int:
    """Of two square matrices.

    >>> instructions_a_product("v_wmma_f32_16x16x16_f16", 16), instructions_a_product("hmma.m16n8k16.f32", 16)
    (1, 2)
    """
    sizes = re.search(r"(\d+)[xn](\d+)[xk](\d+)", opcode)
    return max(1, size**3 // math.prod(map(int, sizes.groups()))) if sizes else 1


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

    def products(self, count: int, size: int) -> int:
        """Instructions of so many products of square matrices."""
        opcodes = (opcode for block in self.blocks for opcode, _ in block.code)
        opcode = next((opcode for opcode in opcodes if kind_of(opcode, self.kinds) == "matrices"), "")
        return count * instructions_a_product(opcode, size)

    def step(self, kind: str, expected: int) -> Counter[str]:
        """One step of a convolution's sum: the smallest loop that fills tiles and adds up, with a loop of arithmetic
        inside it, if the compiler left one, as often as makes `expected` instructions of this kind.

        >>> loop = "BB2:\\n v_wmma_f32_16x16x16_f16 v0\\n s_cbranch_scc1 BB2"
        >>> text = f"BB1:\\n ds_store_b64 v1, v2\\n{loop}\\nBB3:\\n s_cbranch_scc0 BB1\\nBB4:\\n s_endpgm"
        >>> sorted(Assembly.read(text).step("matrices", 4).items())
        [('branch', 5), ('matrices', 4), ('store', 1)]
        """
        # Addresses take a few multiply-adds, too.
        least = 1 if kind == "matrices" else 16
        adds = {id(body): self.counts(body)[kind] for body in self.loops}
        filling = [body for body in self.loops if adds[id(body)] >= least and self.counts(body)["store"]]
        if not filling:
            return self.hot_loop()
        outer = min(filling, key=len)
        total = self.counts(outer)
        inner = [body for body in self.loops if body < outer and adds[id(body)] >= least]
        if inner:
            once = self.counts(max(inner, key=len))
            turns = max(1, round(expected / once[kind]))
            for each, count in once.items():
                total[each] += count * (turns - 1)
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
        found = re.findall(r"const (\w+): u32 = (\d+)u;", source.read_text())
        constants = {name: int(value) for name, value in found}
        if "GRID" in constants:
            # A subgroup has sums of so many matrices.
            each = constants["GRID"] ** 2 * constants["TILE_K"] // constants["SIZE"]
            loop = assembly.step("matrices", assembly.products(each // constants["SPLIT_K"], constants["SIZE"]))
        elif "TILE_K" in constants:
            # An invocation has sums of eight or sixteen vec4s.
            each = 4 * (16 if "-sums_16" in source.stem else 8)
            loop = assembly.step("multiply-add", constants["TILE_K"] * each // constants.get("SPLIT_K", 1))
        else:
            loop = assembly.hot_loop()
        total, adds, matrices = loop.total(), loop["multiply-add"], loop["matrices"]
        if total:
            cells |= {"loop": str(total), "multiply-adds": str(adds), "branches": str(loop["branch"])}
        if matrices:
            cells["matrices"] = str(matrices)
        if matrices or adds:
            cells["share"] = f"{100 * (matrices or adds) / total:.0f} %"
    return cells


def by_numbers(name: str) -> list[tuple[str, int]]:
    """
    >>> sorted(["tile128", "tile32"], key=by_numbers)
    ['tile32', 'tile128']
    """
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]


def markdown(columns: list[str], rows: list[dict[str, str]]) -> str:
    if not any(row.get("matrices") for row in rows):
        columns = [column for column in columns if column != "matrices"]
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
    """The tables of a chip, from what `scripts/gpu-static tables` put into a folder, and what spp says of all chips."""
    sources = sorted((work / "kernels").iterdir(), key=lambda source: by_numbers(source.stem))
    in_f32, in_f16 = [], []
    for source in sources:
        cases = sorted({path.parent.name for path in (work / "cases").glob(f"*/*/{source.name}")})
        cells = row(work / "out", source)
        rows = in_f32 if any((work / "cases/f32").glob(f"*/{source.name}")) else in_f16
        rows.append(cells | {"cases": ", ".join(cases) if len(cases) < 3 else f"{len(cases)} cases"})
    _, driver = (work / "out/adapter").read_text().splitlines()
    prefix = next(prefix for prefix in DRIVERS if driver.startswith(prefix))
    name, whose, units = DRIVERS[prefix]
    card = next(profile["card"] for profile in json.loads(profiles) if profile["name"] == chip)
    version = driver.removeprefix(prefix).strip()
    head = (
        f"**Nothing was executed.** This is what the compiler of {name}, {whose}, in {version} makes of the kernels "
        f"that all published shapes are planned with for this chip, in f32 and in f16. {units} [README](README.md) says how to read it. "
        "Written by `scripts/gpu-static tables`."
    )
    head = textwrap.fill(head, 128, break_on_hyphens=False)
    tables = f"## In f32\n\n{markdown(COLUMNS, in_f32)}\n## Only in f16\n\n{markdown(COLUMNS, in_f16)}"
    return f"# {chip}: {card}\n\n{head}\n\n{tables}\n<!-- of kernels {checksum(sources)} -->\n"


def rows_of(page: str) -> list[dict[str, str]]:
    """Of all its tables.

    >>> rows_of("| kernel | lanes |\\n| --- | --- |\\n| a | 8 |\\n\\n| kernel |\\n| --- |\\n| b |")
    [{'kernel': 'a', 'lanes': '8'}, {'kernel': 'b'}]
    """
    columns: list[str] = []
    rows = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if cells[0] == "kernel":
            columns = cells
        elif line.startswith("| ") and not cells[0].startswith("---"):
            rows.append(dict(zip(columns, cells, strict=True)))
    return rows


def kernels_with(rows: list[dict[str, str]], column: str) -> str:
    """How many have some.

    >>> kernels_with([{"spills": "0"}, {"spills": "3/4"}], "spills"), kernels_with([{"spills": NONE}], "spills") == NONE
    ('1', True)
    """
    told = [cells[column] for cells in rows if cells[column] != NONE]
    return str(sum(cell != "0" for cell in told)) if told else NONE


def shares(rows: list[dict[str, str]], kind: str) -> str:
    """The least with each tile, in kernels of this kind.

    >>> found = [(16, 71), (8, 9), (16, 70)]
    >>> rows = [{"kernel": f"conv-tile64x64x{k}-sums_8-stored_f16", "share": f"{share} %"} for k, share in found]
    >>> shares(rows, "f16"), shares(rows, "f32")
    ('64x64x8 9 %, 64x64x16 70 %', '')
    """
    tiles: dict[str, int] = {}
    for cells in rows:
        name = cells["kernel"]
        precision = "f16" if re.search("-stored_(f16|packed)", name) else "f32"
        tile, share = re.search(r"-tile(\d+x\d+x\d+)-", name), re.match(r"(\d+) %", cells["share"])
        if tile and share and kind == ("matrices" if "-sums_matrices-" in name else precision):
            tiles[tile[1]] = min(int(share[1]), tiles.get(tile[1], 100))
    return ", ".join(f"{tile} {tiles[tile]} %" for tile in sorted(tiles, key=by_numbers))


def summary() -> str:
    """A line for each page: how many kernels spill, and the least share of arithmetic with each tile."""
    lines, versions = [], set()
    for path in sorted(TABLES.glob("*.md")):
        text = path.read_text()
        if not text.startswith(f"# {path.stem}: "):
            continue
        versions |= set(re.findall(r"in (Mesa \S+)", " ".join(text.split())))
        rows = rows_of(text)
        lines.append(
            {
                "chip": f"[`{path.stem}`](benches/static/{path.name})",
                "card": text.splitlines()[0].split(": ")[1],
                "kernels": str(len(rows)),
                "spill": kernels_with(rows, "spills"),
                "scratch": kernels_with(rows, "scratch"),
                "multiply-adds in f32": shares(rows, "f32"),
                "in f16": shares(rows, "f16"),
                "matrices": shares(rows, "matrices"),
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
