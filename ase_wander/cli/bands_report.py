"""What `bands` and `run` say of bands: the gap on the path, rows of the printed table."""

from __future__ import annotations


def gap_on_path(bs) -> dict:
    """Gap and edges (eV relative to vacuum), their k-points (fractional) and the gap in words; gap 0 for a metal."""
    from ..plotting import band_edges, gap_label

    edges = band_edges(bs)
    if edges is None:
        return {"gap": 0.0}
    x, ticks, letters = bs.get_labels()
    return {
        "gap": edges["cbm"] - edges["vbm"],
        "vbm": edges["vbm"],
        "cbm": edges["cbm"],
        "k_vbm": bs.path.kpts[edges["k_vbm"]].tolist(),
        "k_cbm": bs.path.kpts[edges["k_cbm"]].tolist(),
        "gap_label": gap_label(edges, x, list(zip(ticks, letters)), bs.path),
    }


def band_rows(report):
    """Rows of the printed table."""
    rows = [("Hamiltonian", f"{report['n_orbitals']} orbitals, {report['n_electrons']:g} electrons")]
    if "spin_orbit" in report:
        constants = [
            f"{symbol} {'spdf'[int(ell)]} {x:g}" for symbol, d in report["spin_orbit"].items() for ell, x in d.items()
        ]
        rows.append(("spin-orbit coupling", f"{', '.join(constants)} eV"))
    low, high = report["complete"]
    if low is not None or high is not None:
        ends = [f"{word} {-x:.3f} eV" for word, x in (("from", low), ("to", high)) if x is not None]
        rows.append(("all bands", f"{' '.join(ends)} below the vacuum level; others are left out beyond"))
    if "error_bound" in report:
        rows += [("error of the bands", f"at most {1e3 * report['error_bound']:.4f} meV")]
    if "vbm" not in report:
        return [*rows, ("gap", f"none, a band crosses the Fermi level, {-report['fermi_level']:.3f} eV below vacuum")]
    return [
        *rows,
        ("on the path", report["gap_label"]),
        ("band edges", f"{-report['vbm']:.3f} and {-report['cbm']:.3f} eV below the vacuum level"),
    ]


def comparison_rows(found):
    """Rows of the printed table on the levels of another code."""
    shift = f"moved by {found['shift']:+.4f} eV, one shift for all" if found["shift"] else "both from the vacuum level"
    return [
        ("compared with", f"{found['source']}: {found['n_kpoints']} k-points, bands matched {found['matched']}"),
        ("its levels", f"{shift}; {found['levels_drawn']} dots in the figure"),
        (
            "difference",
            f"{1e3 * found['mae']:.1f} meV mean, {1e3 * found['worst']:.1f} at worst of {found['n_levels']} levels "
            "within 1 eV of the gap",
        ),
        ("gap on these k-points", f"{found['gap']:.4f} eV, reference {found['gap_reference']:.4f}"),
    ]
