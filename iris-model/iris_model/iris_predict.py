"""The model that a server loads: one flower, or many in one array operation.

Knows the ONNX network and its session. Refuses to know how the network was trained
(``iris_train``) and what a valid input is (``records``). Safe to call from several threads.
"""

from __future__ import annotations

import struct
from importlib.resources import files
from itertools import chain
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from iris_model.records import (
    INPUT_SCHEMA,
    LARGEST_CM,
    MEASUREMENTS,
    OUTPUT_SCHEMA,
    SPECIES,
    Row,
    read,
    read_together,
)

INPUT_NAME = "measurements"  # n rows of 4 float32, centimetres
OUTPUT_NAME = "label"  # n int64, each an index of SPECIES
PARAMETERS = "parameters/iris_model.onnx"  # inside this package

_OUTPUTS = (OUTPUT_NAME,)
_WIDTH = len(MEASUREMENTS)
#: To be picked from by an array of labels: as Python's own text, which is shared.
_SPECIES = np.array(SPECIES, dtype=np.object_)


def open_session(network: bytes) -> onnxruntime.InferenceSession:
    """Load a serialised ONNX network for a process that is one of many on its machine."""
    options = onnxruntime.SessionOptions()
    # The server scales by processes; a thread pool in each would only contend for the cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A run needs a few bytes: to plan for them, and to keep them, costs a tenth of it.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


class IrisModel:
    """Names the species of an iris. Constructing one loads its parameters from the package."""

    display_name = "Iris Model"
    qualified_name = "iris_model"
    description = (
        "A machine learning model for predicting the species of a flower based on its measurements."
    )
    major_version = 0
    minor_version = 1
    input_schema = INPUT_SCHEMA
    output_schema = OUTPUT_SCHEMA
    #: A prediction changes nothing, so a call whose worker died can be made again.
    retry_safe = True

    def __init__(self) -> None:
        self._session = open_session(files("iris_model").joinpath(PARAMETERS).read_bytes())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.major_version}.{self.minor_version}>"

    def warmup(self) -> None:
        """Make the first call as quick as the later ones: buffers, and the words of a rejection."""
        self.predict(dict.fromkeys(MEASUREMENTS, 1.0))
        read({})

    def predict(self, data: dict[str, Any]) -> dict[str, str]:
        """Name the species of one flower.

        Args:
            data: The four measurements by name, centimetres, each a float or an int.

        Raises:
            MLModelSchemaValidationException: The data is anything else.
        """
        row = read(data)
        if isinstance(row, Exception):
            raise row
        return self._predict_rows([row])[0]

    def predict_batch(self, rows: list[dict[str, Any]]) -> list[dict[str, str] | Exception]:
        """Name the species of many flowers in one run of the network.

        Returns one item per row, in order: what `predict` would return, or, without raising it,
        what `predict` would raise.
        """
        table = _table(rows) if rows else None
        if table is not None:
            return [*self._predict_table(table)]
        taken = [read(row) for row in rows]
        good = [row for row in taken if not isinstance(row, Exception)]
        predicted = iter(self._predict_rows(good) if good else ())
        return [row if isinstance(row, Exception) else next(predicted) for row in taken]

    def predict_columns(
        self, columns: dict[str, NDArray[np.float64]]
    ) -> dict[str, NDArray[np.object_]] | list[dict[str, str] | Exception]:
        """Do what `predict_batch` does for n flowers as arrays of n measurements, by name.

        Returns an array of n species by its name, or, where a flower is none, what `predict_batch`
        would return.
        """
        table = np.column_stack([columns[name] for name in MEASUREMENTS])
        # Written so that NaN, which compares with nothing, fails it.
        if (np.abs(table) <= LARGEST_CM).all():
            return {"species": _SPECIES[self._labels(table.astype(np.float32))]}
        # A bad one is told as it is in a row.
        return self.predict_batch(
            [dict(zip(MEASUREMENTS, row, strict=True)) for row in table.tolist()]
        )

    def _predict_rows(self, rows: list[Row]) -> list[dict[str, str]]:
        count = len(rows)
        # Filling from one flat iterator beats numpy.array on a list of tuples.
        flat = np.fromiter(chain.from_iterable(rows), np.float32, count * _WIDTH)
        return self._predict_table(flat.reshape(count, _WIDTH))

    def _predict_table(self, table: NDArray[np.float32]) -> list[dict[str, str]]:
        return [{"species": SPECIES[label]} for label in self._labels(table).tolist()]

    def _labels(self, table: NDArray[np.float32]) -> NDArray[np.int64]:
        labels: NDArray[np.int64]
        (labels,) = self._session.run(_OUTPUTS, {INPUT_NAME: table})
        return labels


def _table(rows: list[dict[str, Any]]) -> NDArray[np.float32] | None:
    """Return the measurements of rows that are all good; None where `read` has to look at each."""
    measurements = read_together(rows)
    if measurements is None:
        return None
    # Two steps of numpy at the end: each, in caches that others have filled, costs microseconds.
    packed = struct.pack(f"{len(measurements)}f", *measurements)
    return np.frombuffer(packed, np.float32).reshape(len(rows), _WIDTH)
