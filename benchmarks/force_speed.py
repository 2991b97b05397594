"""CPU time and memory of forces and of the Hamiltonian: compiled loops against torch, in turn, on one thread.

Forces "torch, whole" are those of `nn.forcefield.energy_and_gradients`, all atoms at once; "parts" treats them 512 at a
time; "loops" are the compiled ones with the neighbours of the step before, "new list" with neighbours found again. The
Hamiltonian is that of the model, matrices included, with and without the loops.

python benchmarks/force_speed.py [--m 2 9 23] [--dtype float64] [--hamiltonian 9] [--repeats 3] [--loops-only]
"""

import argparse
import os
import resource
import time

import numpy as np


def cpu(function):
    """CPU seconds of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def in_turn(ways, repeats):
    """Shortest CPU time of every way {name: function}, called in turn, `repeats` rounds after one to warm up."""
    rounds = [{name: cpu(way) for name, way in ways.items()} for _ in range(repeats + 1)]
    return {name: min(r[name] for r in rounds[1:]) for name in ways}


def peak():
    """Largest memory of this process so far, kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forces(model, atoms, layers, repeats, loops_only=False):
    """us/atom of every way, and kB/atom that the loops add to the process."""
    from ase_wander.model.forces import ForcePass, by_loops, by_torch
    from ase_wander.nn.forcefield import energy_and_gradients

    kept, generator, before = ForcePass(), np.random.default_rng(0), peak()

    def moved():
        atoms.positions += generator.normal(scale=1e-3, size=atoms.positions.shape)
        return atoms

    by_loops(model, moved(), layers, kept)
    memory = (peak() - before) / len(atoms)
    ways = {
        "torch, whole": lambda: energy_and_gradients(model.force_field, model.graph(moved(), layers)),
        "parts": lambda: by_torch(model, moved(), layers),
        "loops": lambda: by_loops(model, moved(), layers, kept),
        "new list": lambda: by_loops(model, moved(), layers),
    }
    if loops_only:
        ways = {name: ways[name] for name in ("loops", "new list")}
    return {name: 1e6 * t / len(atoms) for name, t in in_turn(ways, repeats).items()}, memory


def hamiltonian(calculator, atoms, repeats):
    """CPU seconds with and without the loops; of the model, since a calculator keeps the last H."""
    from ase_wander import WannierHamiltonian, kernels

    model, layers = calculator.model, calculator.layers(atoms)

    def way(switch):
        os.environ[kernels.SWITCH] = switch
        WannierHamiltonian.from_pairs(atoms, model.shells, model.hamiltonian(atoms, layers))

    try:
        return in_turn({"torch": lambda: way("0"), "loops": lambda: way("1")}, repeats)
    finally:
        os.environ.pop(kernels.SWITCH, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mos2-bilayer")
    parser.add_argument("--m", type=int, nargs="*", default=[2, 9, 23], help="cells (m, 1) of which forces are timed")
    parser.add_argument("--hamiltonian", type=int, nargs="*", default=[9], help="cells (m, 1) of which H is timed")
    parser.add_argument("--loops-only", action="store_true", help="forces of the compiled loops alone, for large cells")
    parser.add_argument("--dtype", nargs="+", default=["float64", "float32"])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    import torch

    from ase_wander import WanderCalculator, kernels
    from ase_wander.moire import twisted_bilayer

    torch.set_num_threads(1)
    capability = torch.backends.cpu.get_cpu_capability()
    if kernels.load(capability) is None:
        raise SystemExit("the compiled loops are not there: pip install . or python setup.py build_ext --inplace")
    print(f"one thread, {capability}, CPU time")
    print("| dtype | atoms | torch, whole µs/atom | parts | loops | new list | whole/loops | loops kB/atom |")
    print("|---|---|---|---|---|---|---|---|")
    cell = lambda m: twisted_bilayer("MoS2", m=m, r=1, max_atoms=10**6)
    for dtype in arguments.dtype:
        calculator, sizes, times = WanderCalculator(arguments.model, dtype=dtype), [], []
        calculator.get_forces(cell(2))  # libraries and weights take their memory before it is measured
        for m in arguments.m:
            atoms = cell(m)
            layers = calculator.layers(atoms)
            found, memory = forces(calculator.model, atoms, layers, arguments.repeats, arguments.loops_only)
            sizes.append(len(atoms)), times.append(found["loops"] * len(atoms))
            names = "torch, whole", "parts", "loops", "new list"
            columns = " | ".join(f"{found[name]:.0f}" if name in found else "" for name in names)
            ratio = f"{found['torch, whole'] / found['loops']:.1f}" if "torch, whole" in found else ""
            print(f"| {dtype} | {len(atoms)} | {columns} | {ratio} | {memory:.1f} |", flush=True)
        if len(sizes) > 1:
            print(f"exponent of the loops' time: {np.polyfit(np.log(sizes), np.log(times), 1)[0]:.2f}")
    if arguments.hamiltonian:
        print("\n| dtype | atoms | H, torch s | loops s | ratio |\n|---|---|---|---|---|")
    for m in arguments.hamiltonian:
        for dtype in arguments.dtype:
            atoms = cell(m)
            found = hamiltonian(WanderCalculator(arguments.model, dtype=dtype), atoms, max(arguments.repeats - 1, 1))
            ratio = found["torch"] / found["loops"]
            print(f"| {dtype} | {len(atoms)} | {found['torch']:.2f} | {found['loops']:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
