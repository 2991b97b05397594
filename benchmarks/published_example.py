"""How closely the authors' 201-atom example is reproduced, and what its Hamiltonian is worth.

python benchmarks/published_example.py ../shared/published              agreement with the files, errors against DFT,
times python benchmarks/published_example.py ../shared/published --bands out  also the bands, in the example's format
"""

import argparse
import time
from pathlib import Path

import ase.io
import numpy as np

from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.published.bands import EXAMPLE_SHIFT, published_path
from ase_wander.published.example import load_published
from ase_wander.published.model import RY_PER_BOHR
from ase_wander.structure import find_layers


def structure(file):
    atoms = ase.io.read(file, format="vasp")
    atoms.pbc = (True, True, False)
    return atoms


def report(what, difference, unit):
    difference = np.abs(difference)
    print(f"{what:42s} max {difference.max():.2e}   mean {difference.mean():.2e}   {unit}")


def forces(model, root):
    step = root / "optimize_structure" / "step0"
    atoms = structure(step / "relax" / "structures_1")
    for kind, file in (("m", "moinput"), ("s", "sinput")):
        expected = np.loadtxt(step / file / "input_1")
        report(
            f"environment inputs {file}",
            model.environments(atoms, decimals=10)[kind][1].reshape(-1, 4) - expected,
            "1/Å",
        )
    start = time.perf_counter()
    found = model.compute(atoms, find_layers(atoms))["forces"]
    seconds = time.perf_counter() - start
    report("forces", found / RY_PER_BOHR - np.loadtxt(step / "relax" / "forces"), "Ry/bohr")
    report("relaxation step", atoms.positions + found / RY_PER_BOHR - structure(step / "relax" / "new").positions, "Å")
    dft = np.loadtxt(step / "dataset" / "MoS2_96" / "forces" / "forces_1") * RY_PER_BOHR
    print(
        f"forces: MAE to DFT {1e3 * np.abs(found - dft).mean():.1f} meV/Å, net force {found.sum(axis=0).round(3)} "
        f"eV/Å, {seconds:.2f} s"
    )


def hamiltonian(model, root):
    cell = root / "electronic_band" / "201atoms"
    atoms = structure(cell / "dataset" / "MoS2_96" / "structures" / "structures_1")
    start = time.perf_counter()
    elements = model.elements(atoms)
    print(
        f"Hamiltonian: {sum(len(v) for v, _ in elements.values())} elements of 15 networks in "
        f"{time.perf_counter() - start:.2f} s"
    )
    for name, (index, values) in sorted(elements.items()):
        folder = cell / "simulate" / name
        if (folder / "merge").is_file():
            expected_index, expected, target = np.loadtxt(folder / "merge").T
        elif (folder / "pred_target.dat").is_file():
            expected_index = np.loadtxt(folder / "all_index")
            expected, target = np.loadtxt(folder / "pred_target.dat").T
        else:
            continue
        assert np.array_equal(index, expected_index), f"{name}: the order of the elements differs"
        report(name, values - expected, "eV")
        changed = np.mean(np.abs(values - expected) > 5e-7)
        print(
            f"{'':42s} {100 * changed:.1f} % differ in the sixth decimal; MAE to DFT "
            f"{1e3 * np.abs(values - target).mean():.2f} meV"
        )
    return atoms


def solvers(model, atoms):
    h = WannierHamiltonian.from_blocks(atoms, model.shells, *model.hamiltonian(atoms, hermitian=False), check=False)
    part = WannierHamiltonian.from_blocks(atoms, model.shells, *model.hamiltonian(atoms))
    k = [0.1, 0.23, 0]
    matrix, reference = h.at_k(k).toarray(), part.eigenvalues([k])[0]
    print("Bands at (0.1, 0.23), largest difference to those of the Hermitian part:")
    for name, found in (
        ("general solver, real parts", h.eigenvalues([k])[0]),
        ("Hermitian solver, lower triangle", np.linalg.eigvalsh(matrix, "L")),
        ("Hermitian solver, upper triangle", np.linalg.eigvalsh(matrix, "U")),
    ):
        print(f"  {name:34s} {1e3 * np.abs(found - reference).max():6.2f} meV")
    return h


def write_bands(h, file):
    """One block per band, one energy per line, as the example writes them."""
    energies = h.eigenvalues(published_path()) + EXAMPLE_SHIFT
    Path(file).write_text("\n".join("".join(f"{e:12.10f}\n" for e in band) for band in energies.T))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--bands", metavar="FILE")
    arguments = parser.parse_args()
    loaded = load_published(arguments.root)
    forces(loaded, arguments.root)
    h = solvers(loaded, hamiltonian(loaded, arguments.root))
    if arguments.bands:
        write_bands(h, arguments.bands)
