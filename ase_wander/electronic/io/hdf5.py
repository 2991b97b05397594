"""Arrays of an HDF5 file, read in a child process: a damaged file can crash the HDF5 library or keep it for ever."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from ...archives import EXPANSION, EXPANSION_BYTES, read_npz

#: Seconds that reading may take, and what it takes at most for every 10 MB.
TIME_LIMIT, TIME_PER_10_MB = 60.0, 1.0


def read_hdf5(path) -> dict:
    """Data sets of an HDF5 file by their paths ("hop/0/R"), numbers and truth values only.

    Refused: soft and external links, data in other files (external storage, virtual data sets), and more bytes than a
    file of that size can hold.

    Raises
    ------
    FileNotFoundError, ImportError
        Without the file; without h5py.
    ValueError
        Naming the file.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ImportError("TBmodels files need h5py: pip install h5py")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    size = Path(path).stat().st_size
    with tempfile.TemporaryDirectory(prefix="ase-wander-") as folder:
        out = Path(folder) / "arrays.npz"
        command = [sys.executable, "-P", str(Path(__file__).with_name("hdf5_child.py")), str(Path(path).resolve())]
        limit = EXPANSION * size + EXPANSION_BYTES
        try:
            done = subprocess.run(
                [*command, str(out), str(limit)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIME_LIMIT + TIME_PER_10_MB * size / 1e7,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"{path}: reading it does not end ({error.timeout:.0f} s)") from None
        if done.returncode < 0:
            name = signal.Signals(-done.returncode).name
            raise ValueError(f"{path}: damaged, the HDF5 library crashes on it ({name})")
        if done.returncode or not out.is_file():
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            raise ValueError(f"{path}: not readable as HDF5 ({lines[-1][:300]})")
        return {key.replace("|", "/"): value for key, value in read_npz(out, name=path, bounded=False).items()}
