"""Run by `hdf5` as a program of its own, with numpy and h5py alone: FILE OUT.npz LIMIT."""

import resource
import sys

#: Address space beyond the limit on the arrays: interpreter, numpy, h5py.
OVERHEAD = 2_000_000_000


def main(path: str, out: str, limit: int) -> None:
    """Copy the data sets of an HDF5 file into an .npz."""
    resource.setrlimit(resource.RLIMIT_AS, (OVERHEAD + 4 * limit,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import h5py
    import numpy as np

    arrays, total, seen = {}, 0, 0

    def walk(group, prefix):
        nonlocal total, seen
        for name in group:
            seen += 1
            if seen > 1_000_000 or prefix.count("/") > 8:
                raise ValueError("too many objects")
            if type(group.get(name, getlink=True)) is not h5py.HardLink:
                raise ValueError(f"{prefix}{name} is a link")
            item = group[name]
            if isinstance(item, h5py.Group):
                walk(item, f"{prefix}{name}/")
                continue
            if item.external or item.is_virtual:
                raise ValueError(f"{prefix}{name} lies in another file")
            if item.dtype.kind not in "biufc":
                continue  # names and tags
            total += item.dtype.itemsize * item.size
            if total > limit:
                raise ValueError(f"{prefix}{name} of shape {item.shape}: more than the file can hold")
            arrays[f"{prefix}{name}".replace("/", "|")] = item[()]

    with h5py.File(path, "r", locking=False) as file:
        walk(file, "")
    np.savez(out, **arrays)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    except Exception as error:
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
