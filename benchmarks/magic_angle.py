"""Twisted bilayer graphene from a shipped model: rigid and relaxed cells, flat bands, their width against the angle.

    python benchmarks/magic_angle.py --out runs/magic                       # (30, 1), 11,164 atoms, and the smaller
    angles python benchmarks/magic_angle.py --out runs/magic --m 6 10              # these cells alone
    python benchmarks/magic_angle.py --out runs/magic --table docs/graphene.md

Cells (m, 1) of Lopes dos Santos et al., PRB 86, 155449 (2012), at the model's own equilibrium. Every step (relaxation,
Hamiltonian, every k-point of the bands) is kept in --out and not done again. Seconds are wall time with --threads
threads; memory is the largest resident size of a process that did this step alone.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

PATH = {"G": (0.0, 0.0, 0.0), "M": (0.5, 0.0, 0.0), "K": (1 / 3, 1 / 3, 0.0)}
CELLS = (6, 10, 16, 22, 26, 28, 30, 31, 32)


def write_json(path, content):
    """Through a temporary file, so that a kill leaves no half."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(temporary, path)


def kpath(cell, n):
    """k-points (n, 3) of Γ-M-K-Γ and their places along it, ends included."""
    from ase.dft.kpoints import BandPath

    path = BandPath(cell=cell, path="GMKG", special_points={k: np.array(v) for k, v in PATH.items()}).interpolate(
        npoints=n
    )
    return path.kpts, path.get_linear_kpoint_axis()[0]


# ---------------------------------------------------------------------------------- steps, each in a process of its own
def step_relax(folder, options):
    """Build the cell, relax it, write rigid.extxyz and relaxed.extxyz."""
    from ase.io import write

    from ase_wander import WanderCalculator, relax
    from ase_wander.moire import interlayer_distance, monolayer, twisted_bilayer

    calculator = WanderCalculator(options.model)
    lattice = calculator.model.config["equilibrium"]
    atoms = twisted_bilayer(monolayer("graphene", lattice["a"]), m=options.step_m, r=1, gap=lattice["gap"])
    write(folder / "rigid.extxyz", atoms)
    atoms.calc = calculator
    begin = time.perf_counter()
    atoms.get_forces()
    first = time.perf_counter() - begin
    end = relax(
        atoms,
        options.fmax,
        options.dmax,
        optimizer=options.optimizer,
        steps=options.steps,
        trajectory=folder / "relaxing.traj",  # of a killed run: it goes on from there
    )
    write(folder / "relaxed.extxyz", atoms)
    _, distance = interlayer_distance(atoms, layers=calculator.layers(atoms))
    return {
        "atoms": len(atoms),
        "angle": abs(float(atoms.info["twist_angle"])),
        "steps": end.steps,
        "converged": end.converged,
        "fmax": end.fmax,
        "displacement_left": end.displacement_left,
        "first_forces_s": first,
        "distance": [float(distance.min()), float(distance.mean()), float(distance.max())],
    }


def step_hamiltonian(folder, options):
    """Hamiltonian of one structure, into <structure>_h.npz."""
    import ase.io

    from ase_wander import WanderCalculator

    atoms = ase.io.read(folder / f"{options.structure}.extxyz")
    h = WanderCalculator(options.model).get_wannier_hamiltonian(atoms)
    h.save(folder / f"{options.structure}_h.npz")
    return {"orbitals": h.n_orbitals, "per_row": sum(b.nnz for b in h.blocks) / h.n_orbitals}


def step_bands(folder, options):
    """Bands of one structure near the Fermi level along Γ-M-K-Γ, one file for every k-point.

    Bands are counted from below where H(k) is real (Γ, M); elsewhere they are the nearest to the flat bands at Γ, a
    factorisation six times cheaper, and their indices follow from continuity along the path.
    """
    from ase_wander import WannierHamiltonian
    from ase_wander.electronic.solvers import pardiso

    h = WannierHamiltonian.load(folder / f"{options.structure}_h.npz")
    kpts, x = kpath(h.atoms.cell, options.points)
    method = "pardiso" if pardiso.available() else "auto"
    energies, rows, centre, middle, n = [], [], None, options.bands // 2, options.bands
    for k in kpts:
        counted = np.abs(2 * k - np.rint(2 * k)).max() < 1e-9 or h.n_orbitals < 2000
        file = folder / f"{options.structure}_{k[0]:.5f}_{k[1]:.5f}.json"
        if not file.exists():
            how = {} if counted else {"sigma": centre, "method": method}
            write_json(file, list(map(float, h.eigenvalues([k], n_bands=n, threads=options.threads, **how)[0])))
        found = np.array(json.loads(file.read_text()))
        if not energies:
            centre = found[n // 2 - 2 : n // 2 + 2].mean()
        if counted:
            middle = n // 2
        else:
            middle += continuation(energies[-1], found)
        energies.append(found)
        flat_here = found[middle - 2 : middle + 2]
        centre_row = (flat_here, found[middle + 2], found[middle - 3])
        rows.append(centre_row)
    # half filling: the flat bands are the four in the middle (two valleys, two bands each; spin apart)
    flat = np.array([row[0] for row in rows])
    return {
        "x": list(map(float, x)),
        "energies": np.array(energies).tolist(),
        "flat": flat.tolist(),
        "points": len(kpts),
        "width": float(np.ptp(flat)),
        "gap_above": float(min(row[1] for row in rows) - flat.max()),
        "gap_below": float(flat.min() - max(row[2] for row in rows)),
    }


def continuation(before, after):
    """By how many places the list `after` of nearest energies is shifted against `before`, so that bands stay
    continuous.
    """
    n = len(before)
    cost = {
        s: np.abs(after[max(s, 0) : n + min(s, 0)] - before[max(-s, 0) : n + min(-s, 0)]).mean() for s in range(-4, 5)
    }
    return min(cost, key=cost.get)


STEPS = {"relax": step_relax, "hamiltonian": step_hamiltonian, "bands": step_bands}


# ---------------------------------------------------------------------------------- driver
def run_step(name, m, options, structure=""):
    """One step in a process of its own, unless its result is there; returns its JSON."""
    folder = Path(options.out) / f"m{m:02d}"
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / f"{name}{'_' + structure if structure else ''}.json"
    if not result.exists():
        print(f"({m}, 1) {name} {structure}", flush=True)
        command = [
            sys.executable,
            __file__,
            "--out",
            options.out,
            "--model",
            options.model,
            "--step",
            name,
            "--step-m",
            str(m),
            "--fmax",
            str(options.fmax),
            "--dmax",
            str(options.dmax),
            "--optimizer",
            options.optimizer,
            "--steps",
            str(options.steps),
            "--points",
            str(options.points),
            "--bands",
            str(options.bands),
            "--threads",
            str(options.threads),
        ]
        environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads), MKL_NUM_THREADS=str(options.threads))
        subprocess.run(command + (["--structure", structure] if structure else []), check=True, env=environment)
    return json.loads(result.read_text())


def worker(options):
    """Body of a step's process."""
    folder = Path(options.out) / f"m{options.step_m:02d}"
    begin = time.perf_counter()
    content = STEPS[options.step](folder, options)
    content["seconds"] = time.perf_counter() - begin
    content["gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    write_json(folder / f"{options.step}{'_' + options.structure if options.structure else ''}.json", content)


def collect(options):
    """All rows that are complete in --out."""
    rows = []
    for folder in sorted(Path(options.out).glob("m*")):
        needed = [
            folder / f"{n}.json"
            for n in ("relax", "hamiltonian_rigid", "hamiltonian_relaxed", "bands_rigid", "bands_relaxed")
        ]
        if all(n.exists() for n in needed):
            relax, _h_rigid, h, rigid, relaxed = (json.loads(n.read_text()) for n in needed)
            rows.append(
                {"m": int(folder.name[1:]), "relax": relax, "hamiltonian": h, "rigid": rigid, "relaxed": relaxed}
            )
    return rows


def table(rows):
    """Markdown table of steps, times, memory and widths."""
    lines = [
        "| cell | angle ° | atoms | relaxation steps, s, GB | H s, GB | elements a row | s per k-point, GB | "
        "interlayer distance Å | flat bands, rigid meV | relaxed meV | gaps below and above, relaxed meV |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        r, h, b = row["relax"], row["hamiltonian"], row["relaxed"]
        lines.append(
            f"| ({row['m']}, 1) | {r['angle']:.3f} | {r['atoms']:,} | {r['steps']}, {r['seconds']:.0f}, "
            f"{r['gigabytes']:.1f} | {h['seconds']:.0f}, {h['gigabytes']:.1f} | "
            f"{h['per_row']:.0f} | {b['seconds'] / b['points']:.1f}, {b['gigabytes']:.1f} | "
            f"{r['distance'][0]:.2f}-{r['distance'][2]:.2f} | "
            f"{1e3 * row['rigid']['width']:.1f} | {1e3 * b['width']:.1f} | {1e3 * b['gap_below']:.1f}, "
            f"{1e3 * b['gap_above']:.1f} |"
        )
    return "\n".join(lines)


def draw(rows, out, span=0.15):
    """Bands of the largest cell, rigid and relaxed, and width against angle."""
    import matplotlib.pyplot as plt

    last = max(rows, key=lambda row: row["m"] if row["m"] <= 30 else -row["m"])
    fig, axes = plt.subplots(1, 3, figsize=(12, 4.2), width_ratios=[1, 1, 1.1], constrained_layout=True)
    for axis, name in zip(axes, ("rigid", "relaxed")):
        energies = np.array(last[name]["energies"])
        x, flat = np.array(last[name]["x"]), np.array(last[name]["flat"])
        axis.plot(x, 1e3 * (energies - flat.mean()), ".", color="0.45", ms=3.5)
        axis.plot(x, 1e3 * (flat - flat.mean()), color="C3", lw=1.3)
        axis.set(
            xlim=(x[0], x[-1]),
            ylim=(-1e3 * span, 1e3 * span),
            title=f"{name}, {last['relax']['angle']:.2f}°, {last['relax']['atoms']:,} atoms",
        )
        ticks = [0, *_corners(x), x[-1]]
        axis.set_xticks(ticks, ["Γ", "M", "K", "Γ"])
        for t in ticks:
            axis.axvline(t, color="0.85", lw=0.8, zorder=0)
    axes[0].set_ylabel("energy − centre of the flat bands (meV)")
    angle = [row["relax"]["angle"] for row in rows]
    for name, style in (("rigid", "o--"), ("relaxed", "s-")):
        axes[2].semilogy(angle, [1e3 * row[name]["width"] for row in rows], style, label=name, ms=5)
    axes[2].set(xlabel="twist angle (°)", ylabel="width of the four flat bands (meV)", title="flat-band width")
    axes[2].legend(frameon=False)
    fig.savefig(out, dpi=150)


def _corners(x):
    """Places of M and K on the path: Γ-M, M-K, K-Γ are as sqrt(3)/2 : 1/2 : 1."""
    parts = np.cumsum([3**0.5 / 2, 0.5, 1.0])
    return [parts[0] / parts[2] * x[-1], parts[1] / parts[2] * x[-1]]


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--model", default="graphene-bilayer")
    parser.add_argument("--m", type=int, nargs="*", default=list(CELLS))
    parser.add_argument("--fmax", type=float, default=0.001, help="eV/Å")
    parser.add_argument("--dmax", type=float, default=0.0005, help="displacement left to the minimum, Å")
    parser.add_argument("--optimizer", default="layers", choices=["layers", "LBFGS", "FIRE", "BFGS"])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--points", type=int, default=31)
    parser.add_argument("--bands", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--table", help="markdown file whose part between the markers is replaced; the figure goes beside it"
    )
    for hidden in ("--step", "--structure"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    parser.add_argument("--step-m", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        worker(options)
        return
    for m in options.m:
        run_step("relax", m, options)
        for structure in ("rigid", "relaxed"):
            run_step("hamiltonian", m, options, structure)
            run_step("bands", m, options, structure)
    rows = collect(options)
    print(table(rows))
    draw(rows, Path(options.out) / "flat_bands.png")
    if options.table:
        path = Path(options.table)
        draw(rows, path.with_name("graphene_flat_bands.png"))
        begin, end = "<!-- magic_angle -->", "<!-- /magic_angle -->"
        text = path.read_text()
        head, rest = text.split(begin, 1)
        path.write_text(head + begin + "\n" + table(rows) + "\n" + end + rest.split(end, 1)[1])


if __name__ == "__main__":
    main()
