"""The page of `ase-wander view`: the numbers in it are those of the run, and a browser draws them."""

import json
import re
import shutil
import subprocess
from base64 import b64decode

import numpy as np
import pytest
from ase.io import write

from ase_wander import WanderCalculator
from ase_wander.cli import main
from ase_wander.cli.view import read_results
from ase_wander.electronic.properties.analysis import atomic_density
from ase_wander.moire import interlayer_distance, twisted_bilayer
from ase_wander.view import html_page, view_data
from ase_wander.view.data import GRID

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def decoded(record):
    """Values between `low` and `high` that the page holds as bytes."""
    steps = np.frombuffer(b64decode(record["values"]), np.uint8)
    return record["low"] + steps / 255 * (record["high"] - record["low"])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder as `bands` leaves it, of an untwisted bilayer."""
    folder = tmp_path_factory.mktemp("results")
    atoms = twisted_bilayer("MoS2", angle=0.0, stacking="H")
    h = WanderCalculator("mos2-bilayer").get_wannier_hamiltonian(atoms)
    h.save(folder / "hamiltonian.npz")
    h.band_structure("GMKG", npoints=19, n_bands=10).write(folder / "bands.json")
    (folder / "summary.json").write_text(json.dumps({"gap_label": "gap </script> Γ", "vbm": -5.5, "cbm": -4.5}))
    return folder, h


@pytest.fixture(scope="module")
def data(results):
    return read_results(results[0], n_states=6)


def test_bands_are_those_of_the_file(results, data):
    _, h = results
    bands, k = data["bands"], 7
    window = h.band_window(10)
    assert bands["first"] == window.start and bands["occupied"] == h.n_occupied
    expected = h.eigenvalues(bands["kpts"][k])[0][window.start : window.stop]
    assert np.allclose(np.array(bands["energies"])[:, k], expected, atol=2e-5)
    assert bands["letters"] == ["Γ", "M", "K", "Γ"] and bands["zero"] < bands["reference"]


def test_states_are_normalised_and_those_of_their_bands(results, data):
    """One state at each of Γ, M, K per band; weights of atoms sum to one, to the rounding of a byte each."""
    _, h = results
    assert len(data["states"]) == 3 * 6
    for state in data["states"]:
        weights = decoded(state)
        assert abs(weights.sum() - 1) < len(h.atoms) * state["high"] / 255
        energies, vectors = h.eigenstates(data["bands"]["kpts"][state["k"]])
        assert abs(energies[0][state["band"]] - state["energy"]) < 2e-5
        if state["degenerate"] == 1:
            exact = atomic_density(h, vectors[0][:, state["band"]])[:, 0]
            assert np.allclose(weights, exact, atol=state["high"] / 255)


def test_degenerate_states_share_a_density_with_the_symmetry_of_the_crystal(data):
    """Inversion maps the layers of the 2H bilayer on each other: both carry equal weight in a degenerate group."""
    layer = np.array(data["structure"]["layer"])
    for state in data["states"]:
        weights = decoded(state)
        if state["degenerate"] > 1:
            assert abs(weights[layer == 0].sum() - weights[layer == 1].sum()) < 0.02


def test_map_is_the_distance_of_the_layers():
    atoms = twisted_bilayer("MoS2", m=2, r=1)
    top = atoms.arrays["layer"] == 1
    atoms.positions[top, 2] += 0.2 * np.cos(2 * np.pi * atoms.get_scaled_positions()[top, 0])
    (record,) = view_data(atoms)["maps"]
    values = decoded(record).reshape(GRID, GRID)
    _, distance = interlayer_distance(atoms)
    assert abs(values.mean() - distance.mean()) < 0.02
    expected = distance.mean() + 0.2 * np.cos(2 * np.pi * np.arange(GRID) / GRID)
    assert abs(values.mean(axis=1) - expected).max() < 0.05  # the sites interpolate the wave


def test_bonds_join_neighbours_of_one_layer():
    structure = view_data(twisted_bilayer("MoS2", m=1, r=1))["structure"]
    positions, kind = np.array(structure["positions"]), np.array(structure["kind"])
    i, j = np.array(structure["bonds"]).T
    assert np.all(abs(np.linalg.norm(positions[i] - positions[j], axis=1) - 2.41) < 0.05)
    assert np.all(kind[i] != kind[j]) and len(i) > 42


def test_page_loads_nothing_and_its_numbers_can_be_read_again(data):
    page = html_page(data)
    assert "http" not in page and "src=" not in page and "import(" not in page
    assert page.count("</script>") == 1  # that of a value in the table is written otherwise
    numbers = re.search(r"^const data = (.*);$", page, re.M)[1]
    assert json.loads(numbers) == json.loads(json.dumps(data))
    assert len(page.encode()) < 5e6


def test_large_cells_hold_fewer_densities(results, data, monkeypatch):
    monkeypatch.setattr("ase_wander.view.data.DENSITY_BYTES", 3 * 8 * 2)
    assert len(read_results(results[0], n_states=6)["states"]) == 3 * 2
    assert read_results(results[0], n_states=0)["states"] == []


def test_command_writes_the_page_beside_the_results(results, capsys):
    folder, _ = results
    assert main(["view", str(folder), "--states", "2"]) == 0
    assert (folder / "view.html").stat().st_size > 10_000 and "6 densities" in capsys.readouterr().out


def test_a_relaxed_structure_alone_is_shown_and_other_folders_are_refused(tmp_path, capsys):
    assert main(["view", str(tmp_path)]) == 2 and "structure.extxyz" in capsys.readouterr().err
    assert main(["view", str(tmp_path / "none")]) == 2
    write(tmp_path / "structure.extxyz", twisted_bilayer("graphene", m=1, r=1))
    assert main(["view", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 0
    assert "none in this folder" in capsys.readouterr().out and (tmp_path / "page.html").is_file()


#: Moves the cursor to the first state's place in the bands, as a user would.
MOVE = """<script>
const state = data.states[0], box = document.getElementById("bands").getBoundingClientRect(), axes = drawBands();
const place = { clientX: box.left + axes.X(B.x[state.k]), clientY: box.top + axes.Y(state.energy) };
const event = new PointerEvent("pointermove", place);
document.getElementById("bands").dispatchEvent(event);
</script></body>"""


@pytest.mark.skipif(BROWSER is None, reason="NEEDS chromium (apt-get install chromium): no browser draws it")
def test_a_browser_draws_it_and_shows_the_state_under_the_cursor(data, tmp_path):
    page = html_page(data)
    at_all_energies = page.replace("let narrow = true", "let narrow = false")
    (tmp_path / "page.html").write_text(at_all_energies.replace("</body>", MOVE), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=2000", "--dump-dom", f"file://{tmp_path / 'page.html'}"]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    said = dict(re.findall(r'<p class="say" id="say-(\w+)">(.*?)</p>', dom))
    assert said["structure"].startswith("|ψ|² at Γ, band") and said["bands"].startswith("band ")
    assert "eV below the vacuum level" in dom and 'id="map-section" hidden' not in dom
