"""How far an atom lies from the training data, and the standard deviations that follow from it.

The energy is linear in the normalised invariants x_i of an atom beside the network on top of them. A Bayesian fit of
such a last layer has the posterior covariance C^-1 / N, C the covariance of the training atoms, so that its variance
for a new atom grows with the (Mahalanobis) distance

    D_i^2 = 1 + (x_i - m)^T C^-1 (x_i - m),        one m and C per species,

the 1 from the constant term. A force depends on the environments of the neighbours too:
    D~_i^2 = (D_i^2 + sum_j w_ij D_j^2 / sum_j w_ij) / 2.
Errors of an energy add up coherently over equal environments, incoherently over different ones. With u_i = C^-1/2
(x_i - m)
    D_E^2 = sum_z (N_z^2 + |sum_{i of z} u_i|^2) / N^2.
Where all copies of an atom move alike, as in the single cells that most training data are, forces and elements err
less than at the same D in a cell whose atoms differ. How much those nearby differ from an atom,
    I_i^2 = mean of |u_i - u_j|^2 / 2 over the copies j of i by translation within its layer (`inhomogeneity`),
    t_i = I_i^2 / (I_i^2 + D~_i^2),
is zero in a single cell, also a repeated one, and about a half in a twisted or strongly displaced one.
Standard deviations are s_z D_E^p of the energy, s_z g_z^t D~^p of forces and elements of H, with s_z, g_z and p
calibrated on data that the training has not seen.

Whether an atom lies outside the training data is asked of a blunter distance, in which directions that the training
data hardly explore count less: a small step along them is unknown to the last layer, but no new surroundings.
"""

from __future__ import annotations

import numpy as np
import torch

from .radial import smooth_cutoff

#: Arrays of a FittedUncertainty, by name.
ARRAYS = ("mean", "whiten", "blunt", "limit", "nearest", "forces", "energy", "hamiltonian")

#: Room (relative) that the range of nearest distances leaves before an atom counts as outside of it.
MARGIN = 0.03

#: Å; a neighbour at r counts as a copy by translation where another is nearer than this to -r.
OPPOSITE = 0.9

#: (relative) Distances that single precision cannot tell from the limit.
SINGLE = 1e-4


class FittedUncertainty:
    """Distances to the training data and what they say of errors.

    Index legend: z species, f invariants.

    Parameters
    ----------
    mean : array_like, shape (z, f)
        Of the normalised invariants of the training atoms.
    whiten : array_like, shape (z, f, f)
        C^-1/2 of these invariants.
    blunt : array_like, shape (z, f)
        What the components of u are multiplied with for the blunter distance.
    limit : array_like, shape (z,)
        The blunter distance beyond which an atom is outside the training data.
    nearest : array_like, shape (z, z, 2, 2)
        Smallest and largest distance (Å) from an atom to its nearest neighbour of a species, in its own layer and in
        another one; inf, -inf for what does not come.
    energy : array_like, shape (z + 1,)
        ln s_z (eV per atom, one for all species) and the power p; nan where not calibrated.
    forces, hamiltonian : array_like, shape (2 z + 1,)
        ln s_z (eV/Å, eV), ln g_z and p; (z + 1,) of a model without g, which is 1.
    """

    def __init__(self, **arrays):
        missing = set(ARRAYS) - set(arrays)
        if missing:
            raise ValueError(f"arrays {sorted(missing)} are missing")
        for name in ARRAYS:
            setattr(self, name, np.asarray(arrays[name], float))
        z, f = self.mean.shape
        for name in ("forces", "hamiltonian"):
            values = getattr(self, name)
            if values.shape == (z + 1,):
                setattr(self, name, np.insert(values, z, np.where(np.isnan(values[:z]), np.nan, 0.0)))
        shapes = {
            "whiten": (z, f, f),
            "blunt": (z, f),
            "limit": (z,),
            "nearest": (z, z, 2, 2),
            "forces": (2 * z + 1,),
            "energy": (z + 1,),
            "hamiltonian": (2 * z + 1,),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        self._check_numbers()

    def _check_numbers(self):
        """ValueError for numbers that would call every atom known: not finite, limits or weights of nothing."""
        for name in ("mean", "whiten", "blunt", "limit"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} is not finite")
        if np.isnan(self.nearest).any():
            raise ValueError("nearest holds nan")
        # every blunter distance is at least 1, and about the square root of the number of invariants within the data
        most = 100 * np.sqrt(self.mean.shape[1] + 1)
        if not ((self.limit >= 1) & (self.limit <= most)).all():
            raise ValueError(f"limit is {self.limit.tolist()}, distances within the data lie between 1 and {most:.0f}")
        for z in range(len(self.mean)):
            if not (self.whiten[z].any() and self.blunt[z].any() and (self.blunt[z] >= 0).all()):
                raise ValueError(f"whiten or blunt of species {z} is zero or negative: no distance would ever be large")
        for name in ("forces", "energy", "hamiltonian"):  # nan where not calibrated
            values = getattr(self, name)
            if not (np.isnan(values).all() or np.isfinite(values).all()):
                raise ValueError(f"{name} is not finite")

    def arrays(self) -> dict:
        """What `__init__` takes."""
        return {name: getattr(self, name) for name in ARRAYS}

    def distances(self, force_field, graph, environment) -> dict:
        """Distances of every atom of one structure, with its Graph and the force field's Environment.

        Returns
        -------
        dict of str to ndarray
            `own` D (n,), `around` D~ (n,), `unlike` t (n,), `energy` D_E, `blunt` (n,), and `nearest` (n, z, 2) in Å,
            inf where there is none.
        """
        species = graph.species.cpu().numpy()
        u = self.whitened(species, features(environment))
        own = np.sqrt(1 + (u**2).sum(1))
        r = neighbour_distances(graph)
        weight = smooth_cutoff(torch.from_numpy(r), force_field.cutoff).double().numpy()
        total = weight.sum(1)
        mean = np.divide((weight * own[graph.neighbour.cpu().numpy()] ** 2).sum(1), total, out=own**2, where=total > 0)
        energy = sum((species == z).sum() ** 2 + (u[species == z].sum(0) ** 2).sum() for z in range(len(self.mean)))
        around = np.sqrt(0.5 * (own**2 + mean))
        unlike = inhomogeneity(u, species, graph, weight)
        return {
            "own": own,
            "unlike": unlike / (unlike + around**2),
            "blunt": np.sqrt(1 + ((u * self.blunt[species]) ** 2).sum(1)),
            "around": around,
            "energy": np.sqrt(energy) / len(own),
            "nearest": nearest_distances(graph, r, len(self.mean)),
        }

    def uncertainty(self, force_field, graph, environment) -> dict:
        """Standard deviations of one structure.

        Returns
        -------
        dict
            `energy` : float, eV.
            `energies` : (n,), eV.
            `forces` : (n,), eV/Å, of one Cartesian component.
            `hamiltonian` : (n,), eV, of an element among the blocks of this atom, times `distance` where that exceeds
            1; absent where H was not calibrated.
            `outside` : bool (n,), whether the atom lies outside the training data.
            `distance` : (n,), the blunter distance over its limit.
            `reasons` : {atom: why} for those outside.
        """
        species = graph.species.cpu().numpy()
        d = self.distances(force_field, graph, environment)
        out = {
            "energy": float(len(species) * np.exp(self.energy[0]) * d["energy"] ** self.energy[-1]),
            "energies": deviation(self.energy, d["own"], species),
            "forces": deviation(self.forces, d["around"], species, d["unlike"]),
        }
        if np.isfinite(self.hamiltonian).all():
            out["hamiltonian"] = deviation(self.hamiltonian, d["around"], species, d["unlike"])
        distance = d["blunt"] / self.limit[species]
        if "hamiltonian" in out:  # the power law was fitted inside the data: beyond their limit it is a lower bound
            out["hamiltonian"] = out["hamiltonian"] * np.maximum(distance, 1.0)
        low, high, stray = self._strays(species, d["nearest"])
        outside = self.outside(species, d["blunt"], d["nearest"])
        reasons = {
            int(i): self._reason(d["nearest"][i], stray[i], low[i], high[i], distance[i], force_field)
            for i in np.flatnonzero(outside)
        }
        return {**out, "outside": outside, "distance": distance, "reasons": reasons}

    def whitened(self, species, x) -> np.ndarray:
        """u (n, f) of features x; ValueError when the model has another number of them than it was fitted to."""
        if x.shape[1] != self.mean.shape[1]:
            raise ValueError(
                f"the model has {x.shape[1]} invariants, its uncertainty was fitted to {self.mean.shape[1]}"
            )
        u = np.empty_like(x)
        for z, (mean, whiten) in enumerate(zip(self.mean, self.whiten)):
            u[species == z] = (x[species == z] - mean) @ whiten
        return u

    def blunt_distances(self, species, x) -> np.ndarray:
        """The blunter distance (n,) of features x (n, f).

        In single precision, which is twice as fast, and again in double for atoms so near the limit that it could
        matter.
        """
        out = np.empty(len(x))
        for z, (mean, whiten, blunt) in enumerate(zip(self.mean, self.whiten, self.blunt)):
            own = species == z
            if not own.any():
                continue
            away, turn = (x[own] - mean).astype(np.float32), (whiten * blunt).astype(np.float32)
            out[own] = np.sqrt(1 + np.square(away @ turn).sum(1, dtype=float))
        unsure = np.abs(out / self.limit[species] - 1) < SINGLE
        if unsure.any():
            u = self.whitened(species[unsure], np.asarray(x[unsure], float))
            out[unsure] = np.sqrt(1 + np.square(u * self.blunt[species[unsure]]).sum(1))
        return out

    def outside(self, species, blunt, nearest) -> np.ndarray:
        """Which atoms (n,) lie outside the training data, from `blunt` (n,) and `nearest` (n, z, 2) of `distances`."""
        return (blunt > self.limit[species]) | self._strays(species, nearest)[2].any((1, 2))

    def _strays(self, species, nearest):
        """Known ranges of nearest distances, and which of them are left, each (n, z, 2)."""
        low, high = self.nearest[species, ..., 0], self.nearest[species, ..., 1]
        stray = np.isfinite(nearest) & ((nearest < (1 - MARGIN) * low) | (nearest > (1 + MARGIN) * high))
        return low, high, stray

    def _reason(self, nearest, stray, low, high, distance, force_field):
        from ase.data import chemical_symbols

        if not stray.any():
            return f"its surroundings are {distance:.1f} times as far from the training data as the limit"
        z, across = max(
            np.argwhere(stray).tolist(),
            key=lambda k: (
                max(low[tuple(k)] / nearest[tuple(k)], nearest[tuple(k)] / high[tuple(k)])
                if np.isfinite(low[tuple(k)])
                else np.inf
            ),
        )
        symbol, layer = chemical_symbols[force_field.atomic_numbers[z]], ("same layer", "other layer")[across]
        known = (
            f"in the training data {low[z, across]:.2f} to {high[z, across]:.2f} Å"
            if np.isfinite(low[z, across])
            else "the training data have none there"
        )
        return f"nearest {symbol} of the {layer} at {nearest[z, across]:.2f} Å, {known}"


def deviation(calibration, distance, species, unlike=None):
    """s_z D^p with calibration = (ln s_z ..., p), or s_z g_z^t D^p with (ln s_z ..., ln g_z ..., p) and t =
    `unlike`."""
    log = calibration[species]
    if unlike is not None:
        log = log + calibration[species + (len(calibration) - 1) // 2] * unlike
    return np.exp(log) * distance ** calibration[-1]


def inhomogeneity(u, species, graph, weight, rows=128) -> np.ndarray:
    """I^2 (n,) of atoms with whitened features u (n, f) and weights (n, k) of their neighbours; 0 of an atom without
    copies.

    Copies of an atom by translation are neighbours of its species and layer at r that have another at -r: neither the
    other side of a layer nor the other sublattice of a honeycomb has one. They count the less, the farther that is
    from -r.
    """
    neighbour, across = (t.cpu().numpy() for t in (graph.neighbour, graph.across))
    vector, out = graph.vector.detach().cpu().numpy(), np.zeros(len(u))
    for start in range(0, len(u), rows):
        part = slice(start, start + rows)
        near = neighbour[part]
        alike = weight[part] * ((species[near] == species[part, None]) & (across[part] == 0))
        order = np.argsort(alike <= 0, axis=1, kind="stable")[:, : max(int((alike > 0).sum(1).max(initial=0)), 1)]
        alike, near = (np.take_along_axis(a, order, 1) for a in (alike, near))
        r = np.where(alike[..., None] > 0, np.take_along_axis(vector[part], order[..., None], 1), np.inf)
        with np.errstate(invalid="ignore"):
            opposite = np.linalg.norm(r[:, :, None] + r[:, None], axis=-1)
        opposite = np.where(np.isnan(opposite), np.inf, opposite).min(2)
        copies = alike * (1 - np.minimum(opposite / OPPOSITE, 1.0) ** 2) ** 2
        difference = 0.5 * ((u[part, None] - u[near]) ** 2).sum(-1)
        total = copies.sum(1)
        out[part] = np.divide((copies * difference).sum(1), total, out=np.zeros(len(near)), where=total > 0)
    return out


def features(environment) -> np.ndarray:
    """Descriptors of the atoms, (n, f): the normalised invariants, or the RAER of a force field that keeps none."""
    x = environment.raer if environment.invariants is None else environment.invariants
    return x.detach().cpu().numpy().astype(float)


def nearest_distances(graph, r, n_species) -> np.ndarray:
    """Distance (n, z, 2) to the nearest neighbour of every species in the same and in another layer; inf where there
    is none."""
    species, neighbour, across = (t.cpu().numpy() for t in (graph.species, graph.neighbour, graph.across))
    out = np.full((len(species), n_species, 2), np.inf)
    rows = np.broadcast_to(np.arange(len(species))[:, None], neighbour.shape)
    np.minimum.at(out, (rows, species[neighbour], across), r)
    return out


def neighbour_distances(graph) -> np.ndarray:
    """Distances (n, k) in Å, inf for padding."""
    r = graph.vector.detach().norm(dim=-1)
    return torch.where(graph.mask > 0, r, torch.full_like(r, torch.inf)).cpu().numpy()


#: The name of the class in version 0.1.
Trust = FittedUncertainty
