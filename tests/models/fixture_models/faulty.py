"""Models that fail, in each way on request."""

import os
import sys

import numpy as np

from fixture_models.plain import PlainModel


class PredictionFailed(Exception):  # noqa: N818  # a name that no library has
    """An error of the model's own."""


class Unprintable(Exception):  # noqa: N818
    """An error that can not even say what it is."""

    def __str__(self):
        raise RuntimeError


class RaisingModel(PlainModel):
    """Raises what it is asked for, and returns any other data."""

    qualified_name = "raising"

    def predict(self, data):
        if data == "fail":
            message = "asked to fail"
            raise PredictionFailed(message)
        if data == "chain":
            self._fail_for_a_reason()
        if data == "exit":
            sys.exit(3)
        if data == "interrupt":
            raise KeyboardInterrupt
        if data == "recursion":
            return self.predict(data)
        if data == "memory":
            message = "no room"
            raise MemoryError(message)
        if data == "unprintable":
            raise Unprintable
        if data == "return":
            return PredictionFailed("returned, not raised")
        return data

    def _fail_for_a_reason(self):
        try:
            _ = {}["weights"]
        except KeyError as error:
            message = "no weights"
            raise PredictionFailed(message) from error


class StrangeModel(PlainModel):
    """Returns an output that no client can decode, by the name of its kind."""

    qualified_name = "strange"

    def predict(self, data):
        cycle = []
        cycle.append(cycle)
        deep = []
        for _ in range(100_000):
            deep = [deep]
        outputs = {
            "set": {"species": {"setosa"}},
            "int_keys": {"counts": {1: 2}},
            "huge_int": [2**64],
            "astronomic_int": 2**70,
            "deep": deep,
            "bytes": b"\x00\xff",
            "numpy": {
                "scalar": np.float32(0.5),
                "count": np.int64(2**40),
                "truth": np.bool_(True),
                "array": np.arange(3),
            },
            "infinite": float("-inf"),
            "object": object(),
            "cycle": cycle,
            "surrogate": "\ud800",
            "nan": float("nan"),
            "big": "x" * 2_000_000,
        }
        if data == "enormous":
            return "x" * 200_000_000
        return outputs.get(data, data)


class KillerModel(PlainModel):
    """Ends its whole process, without any farewell, for one value."""

    qualified_name = "killer"

    def predict(self, data):
        if data == "die":
            os._exit(9)
        return data


class FragileKillerModel(KillerModel):
    """As its parent, but a call must not be made twice."""

    qualified_name = "fragile_killer"
    retry_safe = False
