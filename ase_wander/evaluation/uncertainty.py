"""Fit of a model's uncertainty: statistics of the training atoms, calibration on configurations that training has not
seen."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from ..data.dataset import split
from ..nn.uncertainty import FittedUncertainty, deviation, features, nearest_distances

#: Smallest eigenvalue of a covariance, relative to its largest, for the deviations and for the domain.
FLOOR, DOMAIN_FLOOR = 1e-6, 1e-3

#: Share of the training atoms of a species that lie within the limit of the domain.
WITHIN = 0.99

#: Mean and spread of the power p before calibration: a linear last layer has p = 1.
POWER, POWER_SPREAD = 1.0, 0.5

#: Mean and spread of ln g before calibration: unlike surroundings raise errors (1.1 to 2.8 times) in what was measured.
UNLIKE, UNLIKE_SPREAD = 1.0, 1.0


def fit_uncertainty(model, configurations, validation_fraction=None, progress=None) -> FittedUncertainty:
    """Fit the uncertainty of `model` and attach it as `model.trust`; `model.save` keeps it.

    Parameters
    ----------
    model : WanderModel
    configurations : list of Configuration
        Training and validation ones.
    validation_fraction : float, optional
        That of the model's configuration by default, else 0.15. The held-out split calibrates.
    progress : callable, optional
        Called with (done, total).

    Raises
    ------
    ValueError
        A split that leaves nothing to train on or to calibrate with; a model without a force field of its own.
    """
    if "energies" not in model.implemented_properties:
        raise ValueError(
            f"model {model.name!r} of kind {model.kind} has no atomic energies, so no uncertainty can be fitted"
        )
    if validation_fraction is None:
        validation_fraction = model.config.get("validation_fraction", 0.15)
    training, held_out = split(configurations, validation_fraction)
    held_out = [c for c in held_out if "forces" in c.results and "energy" in c.results]
    if not training or not held_out:
        raise ValueError(
            f"uncertainty: {len(training)} configurations to train on and {len(held_out)} held-out ones with energy "
            f"and forces (validation_fraction {validation_fraction}); it needs both"
        )
    total, rows = len(training) + len(held_out), []
    statistics = training_statistics(model, training, progress and (lambda k: progress(k, total)))
    unknown = np.full(model.force_field.n_species + 1, np.nan)
    model.trust = FittedUncertainty(**statistics, forces=unknown, energy=unknown, hamiltonian=unknown)
    for number, c in enumerate(held_out):
        rows.append(observe(model, c))
        if progress:
            progress(len(training) + number + 1, total)
    for name, values in calibrations(rows, model.force_field.n_species).items():
        setattr(model.trust, name, values)
    return model.trust


def training_statistics(model, configurations, progress=None) -> dict:
    """Arrays `mean`, `whiten`, `blunt`, `limit`, `nearest` of `nn.uncertainty.FittedUncertainty`."""
    n_species = model.force_field.n_species
    rows, species, nearest = [], [], []
    for number, c in enumerate(configurations):
        graph, environment = model.environment(c.atoms, c.layers)
        rows.append(features(environment))
        species.append(graph.species.cpu().numpy())
        r = np.where(graph.mask.cpu().numpy() > 0, graph.vector.norm(dim=-1).cpu().numpy(), np.inf)
        nearest.append(nearest_distances(graph, r, n_species))
        if progress:
            progress(number + 1)
    x, species, nearest = (np.concatenate(a) for a in (rows, species, nearest))
    n_features = x.shape[1]
    mean, blunt, limit = np.zeros((n_species, n_features)), np.ones((n_species, n_features)), np.ones(n_species)
    whiten = np.zeros((n_species, n_features, n_features))
    for z in range(n_species):
        own = x[species == z]
        if not len(own):
            raise ValueError(f"uncertainty: the training configurations have no {model.species[z]}")
        mean[z] = own.mean(0)
        values, vectors = np.linalg.eigh(np.cov(own.T, bias=True))
        sharp, dull = (np.maximum(values, floor * max(values[-1], 1e-12)) for floor in (FLOOR, DOMAIN_FLOOR))
        whiten[z], blunt[z] = vectors / np.sqrt(sharp), np.sqrt(sharp / dull)  # C^-1/2 up to a rotation
        distance = np.sqrt(1 + (((own - mean[z]) @ (vectors / np.sqrt(dull))) ** 2).sum(1))
        limit[z] = np.quantile(distance, WITHIN)
    known = np.isfinite(nearest)
    low, high = np.where(known, nearest, np.inf), np.where(known, nearest, -np.inf)
    ranges = [[low[species == z].min(0), high[species == z].max(0)] for z in range(n_species)]
    return {
        "mean": mean,
        "whiten": whiten,
        "blunt": blunt,
        "limit": limit,
        "nearest": np.ascontiguousarray(np.moveaxis(np.array(ranges), 1, -1)),
    }


def observe(model, configuration, out=None, elements=None) -> dict:
    """Distances and errors of one configuration.

    Parameters
    ----------
    model : WanderModel
    configuration : Configuration
    out : dict, optional
        What `model.compute` gave for it.
    elements : dict, optional
        Its `hamiltonian_errors`.

    Returns
    -------
    dict
        `species`, `around`, `unlike`, `own` (n,), `energy_distance`; errors `forces` (n, 3), eV/Å, `energy`, eV per
        atom, and `hamiltonian` (n,), rms error of the elements among an atom's blocks, eV, absent without Hamiltonian.
    """
    from .hamiltonian_errors import hamiltonian_errors

    c = configuration
    out = model.compute(c.atoms, c.layers) if out is None else out
    graph, environment = model.environment(c.atoms, c.layers)
    d = model.trust.distances(model.force_field, graph, environment)
    row = {
        "species": graph.species.cpu().numpy(),
        "around": d["around"],
        "unlike": d["unlike"],
        "own": d["own"],
        "energy_distance": d["energy"],
        "forces": out["forces"] - c.results["forces"],
        "energy": (out["energy"] - c.results["energy"]) / len(c.atoms),
    }
    if elements is None and c.hamiltonian is not None:
        elements = hamiltonian_errors(model, c)
    if elements is not None:
        square = (elements["predicted"] - elements["reference"]) ** 2
        count = np.bincount(elements["atom"], minlength=len(c.atoms))
        row["hamiltonian"] = np.sqrt(np.bincount(elements["atom"], square, len(c.atoms)) / count)
    return row


def calibrations(rows, n_species) -> dict:
    """`forces`, `energy` and `hamiltonian` of `nn.uncertainty.FittedUncertainty`; nan without any observation."""
    out = {}
    for name in ("forces", "energy", "hamiltonian"):
        distance, square, species, unlike = _pairs(rows, name)
        out[name] = (
            calibrate(distance, square, species, n_species, unlike)
            if len(distance)
            else np.full((1 if unlike is None else 2) * n_species + 1, np.nan)
        )
    return out


def _pairs(rows, name):
    """Distance, mean square error, species and `unlike` (None of the energy) of everything observed of one quantity."""
    found = [r for r in rows if name in r]
    if name == "energy":
        return (
            np.array([r["energy_distance"] for r in found]),
            np.array([r["energy"] ** 2 for r in found]),
            np.zeros(len(found), int),
            None,
        )
    if not found:
        return np.zeros(0), np.zeros(0), np.zeros(0, int), np.zeros(0)
    square = [(r["forces"] ** 2).mean(1) if name == "forces" else r["hamiltonian"] ** 2 for r in found]
    parts = ([r["around"] for r in found], square, [r["species"] for r in found], [r["unlike"] for r in found])
    return tuple(np.concatenate(a) for a in parts)


def calibrate(distance, square, species, n_species, unlike=None) -> np.ndarray:
    """ln s_z (n_species,) and the power p of sigma = s_z D^p, by maximum likelihood of normal errors.

    With `unlike`, t: ln s_z, ln g_z and p of sigma = s_z g_z^t D^p. The p and the ln g_z have normal priors (POWER,
    POWER_SPREAD and UNLIKE, UNLIKE_SPREAD), and each ln s_z one of unit width about their mean: a species that was
    not observed takes that.
    """
    x = np.log(distance)
    square = np.maximum(square, 1e-6 * max(square.mean(), 1e-30))
    start = np.append(np.full(n_species, 0.5 * np.log(np.mean(square / distance**2))), POWER)
    if unlike is not None:
        start = np.insert(start, n_species, np.full(n_species, UNLIKE))

    def loss(parameters):
        """-ln likelihood and its gradient; d/d(ln sigma) of (ln sigma + e^2 / 2 sigma^2) is 1 - e^2 / sigma^2."""
        s, g, p = parameters[:n_species], parameters[n_species:-1], parameters[-1]
        log_sigma = s[species] + p * x + (0.0 if unlike is None else g[species] * unlike)
        ratio = square * np.exp(-2 * log_sigma)
        value = (
            (log_sigma + 0.5 * ratio).sum()
            + 0.5 * ((s - s.mean()) ** 2).sum()
            + 0.5 * (((g - UNLIKE) / UNLIKE_SPREAD) ** 2).sum()
            + 0.5 * ((p - POWER) / POWER_SPREAD) ** 2
        )
        slope = 1 - ratio
        parts = [np.bincount(species, slope, n_species) + s - s.mean()]
        if unlike is not None:
            parts.append(np.bincount(species, slope * unlike, n_species) + (g - UNLIKE) / UNLIKE_SPREAD**2)
        return value, np.concatenate([*parts, [(slope * x).sum() + (p - POWER) / POWER_SPREAD**2]])

    return minimize(loss, start, jac=True, method="BFGS").x


def predicted(rows, calibration) -> dict:
    """Standard deviations by quantity: `forces`, `hamiltonian` a list of (n,) per configuration, `energy` of numbers
    per atom."""
    out = {
        name: [deviation(calibration[name], r["around"], r["species"], r["unlike"]) for r in rows if name in r]
        for name in ("forces", "hamiltonian")
    }
    out["energy"] = [
        float(np.exp(calibration["energy"][0]) * r["energy_distance"] ** calibration["energy"][-1]) for r in rows
    ]
    return out


def cross_validated(rows, n_species) -> dict:
    """As `predicted`, each configuration with a calibration on all others."""
    out = {"forces": [], "hamiltonian": [], "energy": []}
    for k, row in enumerate(rows):
        one = predicted([row], calibrations(rows[:k] + rows[k + 1 :], n_species))
        for name in out:
            out[name] += one[name]
    return out


def area_under_curve(score, positive) -> float | None:
    """Probability that a positive scores higher than a negative one (ties count half); None without both."""
    from scipy.stats import rankdata

    n, m = positive.sum(), (~positive).sum()
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m)) if n and m else None


def scores(rows, deviations) -> dict:
    """Whether predicted errors are ranked and calibrated.

    Returns
    -------
    dict of str to dict
        By quantity `auc` (an error above 3 times the median has the larger deviation), `rank` (Spearman's correlation),
        `within_1`, `within_2` (share of errors within one and two deviations; 0.683 and 0.954 of normal ones), `n`.
        Forces: of atoms, the norm of the error for auc and rank, components for the shares. H: rms of an atom's
        elements.
    """
    from scipy.stats import spearmanr

    out = {}
    for name in ("forces", "hamiltonian", "energy"):
        found = [r[name] for r in rows if name in r]
        if not found or not len(deviations[name]):
            continue
        error = np.abs(np.concatenate([np.atleast_1d(e) for e in found]))
        sigma = np.concatenate([np.atleast_1d(s) for s in deviations[name]])
        ratio = error / (sigma[:, None] if error.ndim == 2 else sigma)
        size = np.linalg.norm(error, axis=1) if error.ndim == 2 else error
        rank = float(spearmanr(sigma, size)[0]) if len(size) > 2 else None
        out[name] = {
            "auc": area_under_curve(sigma, size > 3 * np.median(size)),
            "rank": rank,
            "within_1": float((ratio < 1).mean()),
            "within_2": float((ratio < 2).mean()),
            "n": len(size),
        }
    return out


#: The name of the function in version 0.1.
fit_trust = fit_uncertainty
