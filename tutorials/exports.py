"""
Export to Wannier90, WannierBerri, PythTB and sisl
==================================================

One Hamiltonian in the files and objects of other codes, and the same bands from each of them. Packages that are not
installed are said to be missing: ``pip install pythtb sisl wannierberri``.
"""

from pathlib import Path

import numpy as np

from ase_wander import WanderCalculator, WannierHamiltonian
from ase_wander.moire import twisted_bilayer

atoms = twisted_bilayer("MoS2", angle=0.0, stacking="H")
atoms.calc = WanderCalculator("mos2-bilayer")
h = atoms.calc.get_wannier_hamiltonian(atoms)
k = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [1 / 3, 1 / 3, 0.0], [0.12, 0.31, 0.0]])
ours = h.eigenvalues(k)
print(h)


def compare(code, bands):
    """Say how far the bands (n_k, n_bands) of another code are from ours."""
    print(f"{code}: largest difference {1e3 * abs(np.sort(bands, axis=1) - ours).max():.1e} meV")


# %%
# Wannier90
# ---------
# ``_hr.dat``, ``_tb.dat``, ``_centres.xyz`` and ``.win``: what Wannier90 itself would have left. WannierTools,
# Z2Pack, TBmodels and others read them. Six decimals of ``_hr.dat`` are what is left of the elements.
Path("wannier").mkdir(exist_ok=True)
h.write_wannier90("wannier/mos2")
print(", ".join(sorted(path.name for path in Path("wannier").iterdir())))
compare("Wannier90 files", WannierHamiltonian.from_wannier90("wannier/mos2").eigenvalues(k))

# %%
# PythTB
# ------
try:
    model = h.to_pythtb()
except ImportError as missing:
    print(missing)
else:
    in_plane = k[:, : model.dim_k] if hasattr(model, "dim_k") else k[:, :2]
    solve = getattr(model, "solve_ham", None) or (lambda points: model.solve_all(points).T)
    compare("PythTB", np.asarray(solve(in_plane)))

# %%
# sisl
# ----
# The object that SIESTA's tools and transport codes take.
try:
    other = h.to_sisl()
except ImportError as missing:
    print(missing)
else:
    compare("sisl", np.array([other.eigh(point) for point in k]))

# %%
# WannierBerri
# ------------
# For Berry curvature, optical and Hall conductivities on dense meshes.
try:
    system = h.to_wannierberri()
except ImportError as missing:
    print(missing)
else:
    print(type(system).__name__, "with", system.num_wann, "Wannier functions")

# %%
# This package's own file keeps everything (structure, orbitals, spin), without pickles.
h.save("mos2.npz")
compare("npz", WannierHamiltonian.load("mos2.npz").eigenvalues(k))
