"""Makes a data set once, and reads it without TensorFlow."""

import contextlib
import io
import os
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

__all__ = ["Source", "prepare"]


def prepare(builder_class: type, data_dir: str | os.PathLike) -> Any:
    """Makes the data set in `data_dir` unless it is there, and returns its builder.

    Args:
      builder_class: a TFDS builder class.
      data_dir: where data sets live; made if missing.

    Raises:
      ValueError: if `data_dir` is empty.
      OSError: if the data set is missing and cannot be written.
    """
    if not data_dir:
        raise ValueError(f"data_dir must be a folder, got {data_dir!r}.")
    builder = builder_class(data_dir=data_dir, file_format="array_record")
    if not builder.data_path.exists():
        try:
            _write(builder)
        except OSError as error:
            if not builder.data_path.exists():  # or else another process made it
                raise OSError(
                    f"Cannot make the data set {builder.name!r} in data_dir "
                    f"{os.fspath(data_dir)!r}: {error}"
                ) from error
            builder = builder_class(data_dir=data_dir, file_format="array_record")
    return builder


def _write(builder: Any) -> None:
    """Writes the data set into a folder of its own, then renames; prints nothing."""
    os.makedirs(builder.data_path.parent, exist_ok=True)
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()


class Source:
    """Random access to one split.

    Args:
      builder: from `prepare`.
      split: a split of the data set.
      cache: whether to read all of it now, into memory.
    """

    def __init__(self, builder: Any, split: str, cache: bool) -> None:
        self._records = builder.as_data_source(split=split)
        self._arrays = self._read(range(len(self._records))) if cache else None

    def __len__(self) -> int:
        return len(self._records)

    def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices`, stacked: feature name -> (n, ...) array."""
        if self._arrays is None:
            return self._read(indices.tolist())
        return {name: array[indices] for name, array in self._arrays.items()}

    def _read(self, indices) -> dict[str, np.ndarray]:
        examples = self._records.__getitems__(list(indices))
        return {
            name: np.stack([example[name] for example in examples])
            for name in examples[0]
        }
