"""The force field by compiled loops: energy and its gradient, written out by hand.

Equations are those of `environment` and `forcefield`; the mixing of channels, a matrix product, is left to torch.
Index legend: n atoms of a part (all of one species), m components of degree l, s species channels x radial functions,
c mixed channels (left, then right), k products by path and channel, x invariants.

    A_nms --mix--> (a, b)_nmc --couple--> P_nmk --mix--> B_nmc;   x = [a_0, P_0, B.a, B.B];   E = network(x) + linear.x
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int64

import numpy as np
import torch

from .. import kernels
from .angular import clebsch_gordan
from .environment import SILU_GAIN
from .forcefield import WALL, ForceField

#: Components of degrees 0 to 4, of which the compiled loops have all.
DEGREES = 5

#: Atoms per part: densities and products of so many stay in the processor's cache.
ATOMS_PER_PART = 128

_SUFFIX = {torch.float64: "f64", torch.float32: "f32"}


def library(force_field):
    """The compiled loops for this force field, None where torch has to do: other devices, precisions and backbones."""
    of = force_field.energy_scale
    if type(force_field) is not ForceField or of.device.type != "cpu" or of.dtype not in _SUFFIX:
        return None
    return kernels.load(torch.backends.cpu.get_cpu_capability())


class FusedForceField:
    """A force field's weights as the compiled loops take them; channels are padded to multiples of eight with zeros.

    Parameters
    ----------
    force_field : ForceField
        As it is now: later changes of its weights do not show.
    """

    def __init__(self, force_field: ForceField):
        ff = force_field
        self.dtype, self.l_max, self.top = ff.energy_scale.dtype, ff.l_max, ff.l_product
        self.suffix, self.n_species = _SUFFIX[self.dtype], ff.n_species
        n_channels = ff.left.mix[0].weight.shape[1]
        self.channels = -(-n_channels // 8) * 8
        self.columns = 2 * ff.n_species * ff.n_radial
        self.paths = [len(p) for p in ff.product.paths]
        self.coupling = CouplingTable(ff.product.paths)
        weight = lambda t: t.detach().to(self.dtype)
        pad = self.channels - n_channels
        self.padded = pad > 0
        wide = lambda t: torch.nn.functional.pad(weight(t), (0, 0, 0, pad))  # (z, c, in): more rows of zeros
        both = lambda l: torch.cat([wide(side.mix[l].weight) * side.scale for side in (ff.left, ff.right)], 1)
        self.mix = [both(l).transpose(1, 2).contiguous() for l in range(ff.l_max + 1)]  # (z, s, 2 c)
        self.mix_back = [m.transpose(1, 2).contiguous() for m in self.mix]
        self.products = [self._padded(ff.product.mix[l].weight, pad) for l in range(self.top + 1)]  # (z, k, c)
        self.products_back = [p.transpose(1, 2).contiguous() for p in self.products]
        # Where the force field's own invariants stand among the padded ones.
        groups = torch.arange((1 + self.paths[0] + 2 * self.top) * self.channels).view(-1, self.channels)
        self.own = groups[:, :n_channels].reshape(-1)
        spread = lambda t: torch.zeros(*t.shape[:-1], groups.numel(), dtype=self.dtype).index_copy(
            -1, self.own, weight(t)
        )
        self.mean, self.inverse_std, self.linear = spread(ff.mean), spread(ff.inverse_std), spread(ff.linear)
        self.weights = [weight(layer.weight) for layer in ff.network.layers]
        self.weights[0] = spread(self.weights[0])
        self.biases = [weight(b) for b in ff.network.biases]
        self.reference, self.scale = ff.reference_energy.detach().double(), float(ff.energy_scale)
        self.constants = _constants(ff)

    def _padded(self, w, pad):
        """Weights (z, out, paths x channels) as (z, paths x padded channels, padded out)."""
        z, out, _ = w.shape
        w = w.detach().to(self.dtype).reshape(z, out, -1, self.channels - pad)
        w = torch.nn.functional.pad(w, (0, pad, 0, 0, 0, pad))
        return w.reshape(z, out + pad, -1).transpose(1, 2).contiguous()

    def pair_energies(self, lib, rows):
        """What atoms feel pair by pair, in float64.

        Returns
        -------
        energies : ndarray, shape (n,)
            Of the species alone and of tail, repulsion and walls, eV.
        forces : ndarray, shape (n, 3)
            eV/Å.
        virial : ndarray, shape (3, 3)
            eV.
        nearest : ndarray, shape (n, z, 2)
            Å, see `uncertainty.nearest_distances`.
        """
        n = len(rows.species)
        energies, forces, virial = (
            self.reference[rows.species],
            *(torch.zeros(k, 3, dtype=torch.float64) for k in (n, 3)),
        )
        nearest = torch.full((n, self.n_species, 2), torch.inf, dtype=torch.float64)
        out = _data(energies, forces, virial, nearest)
        lib.pair_energies_f64(byref(rows.structure), byref(self.constants), c_int64(0), c_int64(n), *out)
        return energies, forces, virial, nearest

    # ------------------------------------------------------------------ there
    def forward(self, lib, rows, z: int, atoms: torch.Tensor):
        """What the energy of some atoms of species `z` is made of, `raer`, `invariants` and `energy` among it."""
        n = len(atoms)
        call = lambda name, *args: getattr(lib, f"{name}_{self.suffix}")(*args)
        new = lambda l, width: torch.empty(n * (2 * l + 1), width, dtype=self.dtype)
        density = [new(l, self.columns) for l in range(DEGREES)]
        call(
            "density",
            byref(rows.structure),
            byref(self.constants),
            c_int64(n),
            *_data(atoms),
            c_int64(rows.longest),
            kernels.addresses(density),
        )
        ab = [density[l] @ self.mix[l][z] for l in range(self.l_max + 1)]
        ab += [
            torch.zeros(n * (2 * l + 1), 2 * self.channels, dtype=self.dtype) for l in range(self.l_max + 1, DEGREES)
        ]
        products = [new(l, k * self.channels) for l, k in enumerate(self.paths)]
        sizes = c_int64(n), c_int64(self.channels)
        call("couple", byref(self.coupling.struct), *sizes, kernels.addresses(ab), kernels.addresses(products))
        mixed = [None] + [products[l] @ self.products[l][z] for l in range(1, self.top + 1)]
        x = torch.empty(n, self.mean.shape[1], dtype=self.dtype)
        scalars = self.paths[0] * self.channels
        call(
            "invariants",
            *sizes,
            c_int64(self.top),
            kernels.addresses(ab),
            *_data(products[0]),
            c_int64(scalars),
            kernels.addresses(mixed),
            *_data(x),
        )
        x.sub_(self.mean[z]).mul_(self.inverse_std[z])
        inner, raer = [], x
        for w, b in zip(self.weights[:-1], self.biases[:-1]):
            h = torch.addmm(b[z], raer, w[z].T)
            gate = torch.sigmoid(h)
            raer = h * gate
            inner.append((h, gate))
            raer = raer.mul_(SILU_GAIN)
        energy = torch.addmm(self.biases[-1][z], raer, self.weights[-1][z].T)[:, 0] + x @ self.linear[z]
        return {"ab": ab, "mixed": mixed, "invariants": x, "inner": inner, "raer": raer, "energy": energy}

    def features(self, found) -> np.ndarray:
        """The force field's own invariants (n, f) of what `forward` found."""
        return found["invariants"][:, self.own].numpy() if self.padded else found["invariants"].numpy()

    # ------------------------------------------------------------------ and back
    def backward(self, lib, rows, z: int, atoms: torch.Tensor, found: dict, forces, virial, pull=None):
        """Add to forces (n_atoms, 3) and virial (3, 3), float64; `pull` (n, n_raer): dE/dRAER from elsewhere."""
        n, ab, mixed = len(atoms), found["ab"], found["mixed"]
        call = lambda name, *args: getattr(lib, f"{name}_{self.suffix}")(*args)
        g = (self.scale * self.weights[-1][z]).expand(n, -1)
        g = g if pull is None else g + pull.to(self.dtype)
        for (h, gate), w in zip(reversed(found["inner"]), reversed(self.weights[:-1])):
            g = (g * (SILU_GAIN * (gate * (1 + h * (1 - gate))))) @ w[z]  # d silu(h)/dh = s (1 + h (1 - s))
        g = (g + self.scale * self.linear[z]).mul_(self.inverse_std[z])
        by_mixed = [None if t is None else torch.empty_like(t) for t in mixed]
        by_ab = [torch.empty_like(t) for t in ab]
        scalars = self.paths[0] * self.channels
        by_products = [torch.empty(n, scalars, dtype=self.dtype)]
        sizes = c_int64(n), c_int64(self.channels)
        call(
            "invariants_gradient",
            *sizes,
            c_int64(self.top),
            kernels.addresses(ab),
            kernels.addresses(mixed),
            c_int64(scalars),
            *_data(g, by_products[0]),
            kernels.addresses(by_mixed),
            kernels.addresses(by_ab),
        )
        by_products += [by_mixed[l] @ self.products_back[l][z] for l in range(1, self.top + 1)]
        call(
            "couple_gradient",
            byref(self.coupling.struct),
            *sizes,
            kernels.addresses(ab),
            kernels.addresses(by_products),
            kernels.addresses(by_ab),
        )
        by_density = [by_ab[l] @ self.mix_back[l][z] for l in range(self.l_max + 1)]
        by_density += [
            torch.zeros(n * (2 * l + 1), self.columns, dtype=self.dtype) for l in range(self.l_max + 1, DEGREES)
        ]
        call(
            "density_gradient",
            byref(rows.structure),
            byref(self.constants),
            c_int64(n),
            *_data(atoms),
            c_int64(rows.longest),
            kernels.addresses(by_density),
            *_data(forces, virial),
        )


class CouplingTable:
    """Clebsch-Gordan coefficients that are not zero, output by output, as products.cpp wants them.

    Parameters
    ----------
    paths : list of list of (int, int)
        By degree l3, the pairs (l1, l2) that couple to it, see `environment.PATHS`.
    """

    def __init__(self, paths):
        first, left, right, factor, degree, place = [0], [], [], [], [], []
        for l3, of_degree in enumerate(paths):
            for m3 in range(2 * l3 + 1):
                for path, (l1, l2) in enumerate(of_degree):
                    table = clebsch_gordan(l1, l2, l3)[:, :, m3].numpy()
                    m1, m2 = np.nonzero(table)
                    left += (l1 * l1 + m1).tolist()
                    right += (l2 * l2 + m2).tolist()
                    factor += table[m1, m2].tolist()
                    first.append(len(factor)), degree.append(l3), place.append(m3 * len(of_degree) + path)
        integers = (first, left, right, degree, place, [len(p) for p in paths])
        first, left, right, degree, place, count = (np.array(x, np.int32) for x in integers)
        self.arrays = first, left, right, np.array(factor), degree, place, count
        self.struct = kernels.Coupling(len(degree), len(factor), *(x.ctypes.data for x in self.arrays))


def _constants(ff):
    """`kernels.Constants` of a force field; the arrays it points to hang on it."""
    array = lambda t: np.ascontiguousarray(t.detach().double().numpy())
    coefficients = array(0.5 * (ff.dispersion + ff.dispersion.transpose(0, 1))[:, :, 0])
    arrays = coefficients, array(ff.repulsion_range), array(ff.contact), np.array(ff.atomic_numbers, float)
    out = kernels.Constants(
        ff.n_species, ff.n_radial, ff.cutoff, ff.tail_cutoff, 4.5, WALL, *(x.ctypes.data for x in arrays)
    )
    out.arrays = arrays
    return out


def _data(*tensors):
    """Addresses of tensors."""
    return [ctypes.c_void_p(t.data_ptr()) for t in tensors]
