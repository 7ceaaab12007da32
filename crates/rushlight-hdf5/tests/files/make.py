"""Makes the small HDF5 files beside it, as h5py writes them (python make.py, needs h5py and numpy)."""

import pathlib

import h5py
import numpy as np

HERE = pathlib.Path(__file__).parent


def fill(file):
    """What the tests expect: the same content in every way of writing it."""
    file.attrs["model_config"] = '{"class_name": "Sequential"}'
    file.attrs["names"] = np.array([b"dense", b"dense_1"])
    file.attrs["texts"] = np.array(["eins", "zwölf", ""], dtype=h5py.string_dtype())
    values = np.arange(12, dtype="<f4").reshape(3, 4)
    file.create_dataset("layers/dense/vars/0", data=values)
    file["layers/dense/vars"].attrs["name"] = "dense"
    file.create_dataset("scalar", data=np.int64(-7))
    file.create_dataset("half", data=np.arange(3, dtype="<f2"))
    file.create_dataset("double", data=np.arange(3, dtype="<f8") / 3)
    file.create_dataset("flags", data=np.array([True, False, True]))
    file.create_dataset("empty", data=np.zeros((0, 3), "<f4"))
    file.create_dataset("unwritten", shape=(5,), dtype="<f4")
    file.create_dataset("opaque", data=np.array([b"ab", b"cd"], dtype="V2"))
    file.create_group("nothing")
    many = file.create_group("many")
    for index in range(70):
        many.create_dataset(f"x_{index}", data=np.int32(index))


def chunks(file):
    """Data in chunks, packed in several ways."""
    grid = (np.arange(7 * 11) % 13).astype("<f4").reshape(7, 11)
    options = {
        "plain": {},
        "deflate": {"compression": "gzip"},
        "shuffle": {"compression": "gzip", "shuffle": True},
        "checksum": {"fletcher32": True},
    }
    for name, how in options.items():
        file.create_dataset(name, data=grid, chunks=(3, 4), **how)
    file.create_dataset("single", data=grid, chunks=(7, 11), compression="gzip")


with h5py.File(HERE / "old.h5", "w") as file:
    fill(file)
    chunks(file.create_group("chunks"))
with h5py.File(HERE / "new.h5", "w", libver="latest") as file:
    fill(file)
    chunks(file.create_group("chunks"))
with h5py.File(HERE / "ordered.h5", "w", track_order=True) as file:
    fill(file)
with h5py.File(HERE / "user_block.h5", "w", userblock_size=512) as file:
    file.create_dataset("x", data=np.arange(3, dtype="<f4"))
# The smallest useful file, which tests cut off at every byte.
with h5py.File(HERE / "small.h5", "w") as file:
    file.create_dataset("vars/0", data=np.arange(2, dtype="<f4"))
    file["vars"].attrs["name"] = "dense"
