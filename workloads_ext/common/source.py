"""Makes a data set once, and reads it without TensorFlow."""

import abc
import contextlib
import hashlib
import io
import os
import random
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand, read_bytes, read_text
from unscheduled.benchmark.write import alone

_SUMS = "SHA256SUMS"  # of all files beside it, as of sha256sum
_MAX_BYTES = 1 << 30
_EXAMPLES_A_RECORD = 256


class ArraysBuilder(tfds.core.GeneratorBasedBuilder):
    """A data set of arrays that fit into memory, for which nothing is downloaded.

    A record holds up to 256 examples, which makes writing and reading quick.
    """

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None  # finding the checksums of downloads needs a package
    shapes: ClassVar[
        Mapping[str, tuple[tuple[int, ...], type]]
    ]  # of an example; dtypes

    @abc.abstractmethod
    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """The arrays of each split, by name, an example a row."""

    def _info(self) -> tfds.core.DatasetInfo:
        tensors = {
            name: tfds.features.Tensor(shape=(None, *shape), dtype=dtype)
            for name, (shape, dtype) in self.shapes.items()
        }
        features = tfds.features.FeaturesDict(tensors)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager) -> dict[str, Any]:
        del dl_manager
        return {
            split: self._generate_examples(arrays)
            for split, arrays in self.arrays().items()
        }

    def _generate_examples(
        self, arrays: dict[str, np.ndarray]
    ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        length = len(next(iter(arrays.values())))
        for start in range(0, length, _EXAMPLES_A_RECORD):
            rows = slice(start, start + _EXAMPLES_A_RECORD)
            yield start, {name: array[rows] for name, array in arrays.items()}


def prepare(builder_class: type, data_dir: str | os.PathLike) -> Any:
    """Makes the data set in `data_dir` unless it is there, and returns its builder.

    Of several processes at a time, one makes it and the others wait. An OSError says
    that it can't be made, a UserError that one of its files is not as it was written.
    """
    if not data_dir:
        raise ValueError(f"data_dir must be a folder, got {data_dir!r}.")
    root = expand(data_dir)
    name, folder = builder_class.name, root / _place(builder_class)
    if not folder.exists():
        waiting = f"Waiting for another process that makes the data set {name!r}."
        try:
            root.mkdir(parents=True, exist_ok=True)
            with alone(root / f"{name}.lock", waiting):
                if not folder.exists():
                    _make(builder_class, root, folder)
        except OSError as error:
            raise OSError(
                f"Cannot make the data set {name!r} in data_dir "
                f"{os.fspath(data_dir)!r}: {error}"
            ) from error
    _check(folder)
    return builder_class(data_dir=root, file_format="array_record")


def _place(builder_class: Any) -> str:
    """The folder of a data set in its `data_dir`, by the rules of TFDS."""
    configs = [config.name for config in builder_class.BUILDER_CONFIGS[:1]]
    return "/".join([builder_class.name, *configs, str(builder_class.VERSION)])


def _make(builder_class: Any, root: Path, folder: Path) -> None:
    """Writes the data set into a folder of its own, then renames; prints nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    tfds.disable_progress_bar()
    state = random.getstate()  # TFDS draws names from the generator, which is the run's
    with tempfile.TemporaryDirectory(dir=root, prefix=f"{folder.parts[-2]}.") as made:
        builder = builder_class(data_dir=made, file_format="array_record")
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
        random.setstate(state)
        files = sorted(Path(builder.data_path).iterdir())
        sums = [f"{_sum(path)}  {path.name}\n" for path in files]
        Path(builder.data_path, _SUMS).write_text("".join(sums))
        os.replace(builder.data_path, folder)


def _check(folder: Path) -> None:
    """Raises UserError where a file of a data set is not as it was written."""
    way_out = f"remove {folder} and run again, which makes the data set anew."
    try:
        lines = [line.partition("  ") for line in read_text(folder / _SUMS).split("\n")]
        sums = {name: value for value, _, name in lines if name}
        found = {path.name for path in folder.iterdir()} - {_SUMS}
        for name in sorted(found | set(sums)):
            if _sum(folder / name) != sums.get(name):
                raise UserError(f"{folder / name} is not as it was written.")
    except (UserError, OSError) as error:
        raise UserError(f"{str(error).removesuffix('.')}: {way_out}") from error


def _sum(path: Path) -> str:
    return hashlib.sha256(read_bytes(path, _MAX_BYTES)).hexdigest()


class Source:
    """The examples of one split, in memory."""

    def __init__(self, builder: Any, split: str) -> None:
        records = builder.as_data_source(split=split)
        parts = records.__getitems__(range(len(records)))
        self._arrays = {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices`: feature name -> (n, ...) array."""
        return {name: array[indices] for name, array in self._arrays.items()}
