"""k-points by processes, executors, and from restart files; memory estimates."""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread

import numpy as np
import pytest
from scipy.sparse import identity
from scipy.sparse.linalg import splu

from ase_wander.electronic.solvers import kpoints, memory, pardiso
from ase_wander.electronic.supercell import make_supercell
from tests.electronic_helpers import graphene_model, interrupted_at_the_third_point, random_model

KPTS = np.random.default_rng(3).random((6, 3)) * [1, 1, 0]


def test_processes_and_executors_give_the_same_bands():
    h = random_model()
    serial = h.eigenvalues(KPTS, 6)
    assert (h.eigenvalues(KPTS, 6, n_jobs=2) == serial).all()
    with ThreadPoolExecutor(2) as executor:
        assert (h.eigenvalues(KPTS, 6, executor=executor) == serial).all()


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    h, path = random_model(), tmp_path / "bands.npz"
    expected = h.eigenstates(KPTS, 4)
    calls = interrupted_at_the_third_point(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        h.eigenstates(KPTS, 4, restart=path)
    calls[:] = [None] * 10
    energies, _states = h.eigenstates(KPTS, 4, restart=path)
    # One point before the tasks, two tasks done: three of six are left.
    assert len(calls) - 10 == 3
    assert np.abs(energies - expected[0]).max() < 1e-12
    assert [p.name for p in tmp_path.iterdir()] == ["bands.npz"]
    for change in (
        lambda: h.eigenvalues(KPTS, 4, restart=path),
        lambda: h.eigenstates(KPTS[:5], 4, restart=path),
        lambda: random_model(1).eigenstates(KPTS, 4, restart=path),
    ):
        with pytest.raises(ValueError, match="bands.npz.*another"):
            change()
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="bands.npz"):
        h.eigenstates(KPTS, 4, restart=path)


class Backwards:
    """An executor whose last task finishes first, and whose second one fails."""

    def __init__(self, fail):
        self.fail, self.waiting = fail, []

    def submit(self, function, *arguments):
        future = Future()
        self.waiting.append((future, function, arguments))
        if len(self.waiting) == 5:
            Thread(target=self.run).start()
        return future

    def run(self):
        for number, (future, function, arguments) in reversed(list(enumerate(self.waiting))):
            if self.fail and number == 1:
                future.set_exception(RuntimeError("node lost"))
            else:
                future.set_result(function(*arguments))


def test_points_that_finish_out_of_order_are_kept(tmp_path):
    h, path = random_model(), tmp_path / "bands.npz"
    expected = h.eigenvalues(KPTS, 4)
    assert (h.eigenvalues(KPTS, 4, executor=Backwards(fail=False)) == expected).all()
    with pytest.raises(RuntimeError, match="node lost"):
        h.eigenvalues(KPTS, 4, executor=Backwards(fail=True), restart=path)
    done = np.isfinite(np.load(path)["energies"]).all(axis=1)
    assert done.tolist() == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]  # one before the tasks, then all but the second of them
    assert np.abs(h.eigenvalues(KPTS, 4, restart=path) - expected).max() < 1e-12


def test_fill_in_estimate_is_that_of_the_factor():
    h = make_supercell(random_model(), (6, 5, 1))
    matrix = h.at_k([0.1, 0.2, 0])
    lu = splu(
        (matrix - 0.1 * identity(h.n_orbitals)).tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    assert memory.fill_in(matrix, h.orbitals["atom"]) == pytest.approx(lu.L.nnz, rel=0.25)


def test_too_little_memory_is_said_beforehand(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1e5)
    h = make_supercell(graphene_model(), (6, 6, 1))
    with pytest.raises(MemoryError, match="72 orbitals needs about .* GB"):
        memory.check_memory(h, "dense", smallest=0)
    memory.check_memory(h, "dense")


def test_bad_requests_are_named():
    h = graphene_model()
    with pytest.raises(ValueError, match="n_jobs"):
        h.eigenvalues(KPTS, n_jobs=0)
    with pytest.raises(ValueError, match="method is 'fast'"):
        h.eigenvalues(KPTS, 2, method="fast")
    h.n_electrons = None
    with pytest.raises(ValueError, match="n_electrons is not known"):
        h.eigenvalues(KPTS, 1)
    assert kpoints.solve_kpoints(h, KPTS).energies.shape == (6, 2)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(pardiso, "library", lambda threads=1: None)
    monkeypatch.setattr(kpoints, "WORTH_MKL", 100)
    monkeypatch.setattr(kpoints, "choose_method", lambda *args, **kwargs: "superlu")
    h = make_supercell(graphene_model(), (9, 9, 1))
    with pytest.warns(UserWarning, match="pip install mkl"):
        h.eigenvalues(KPTS[:1], 4)


def test_real_points_may_have_a_solver_of_their_own(monkeypatch):
    """Full rows: dense LDL^H at general k, PARDISO where H(k) is real; the same bands either way."""
    if not pardiso.available():
        pytest.skip("NEEDS MKL PARDISO")
    h = make_supercell(random_model(), (6, 5, 1))
    kpts = np.array([[0, 0, 0], [0.5, 0, 0], [0.1, 0.2, 0]])
    monkeypatch.setattr(kpoints, "choose_method", lambda *args, **kwargs: "ldl")
    monkeypatch.setattr(kpoints, "REAL_SPARSE", 100)
    data = kpoints.solve_kpoints(h, kpts, 6)
    monkeypatch.undo()
    assert [info["method"] for info in data.info] == ["pardiso", "pardiso", "ldl"]
    window = list(h.band_window(6))
    assert np.abs(data.energies - h.eigenvalues(kpts)[:, window]).max() < 1e-8


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_bands():
    distributed = pytest.importorskip("distributed")
    h = random_model()
    with distributed.Client(processes=False, dashboard_address=None, n_workers=1, threads_per_worker=2) as client:
        assert (h.eigenvalues(KPTS, 6, executor=client) == h.eigenvalues(KPTS, 6)).all()
