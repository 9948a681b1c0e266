"""The methods that clients see: which name means what, and what the service says of itself.

Knows the names, their parameters and documentation, and answers introspection in the form that
the `zerorpc` command and `zerorpc.Server` agree on. Refuses to know queues and workers. No I/O,
no clock.
Source: zerorpc-python 0.6.3, core.py and cli.py, for the introspection calls.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

from zeropool.gateway.methods import Method, ModelMethod, OwnMethod, Shape
from zeropool.shared.arguments import arguments, check_count
from zeropool.shared.errors import PayloadTooLarge, UnknownMethod, UnknownModel, UnknownName
from zeropool.shared.methods import BATCH_SUFFIX, CALL_SUFFIX, STREAM_SUFFIX, model_of
from zeropool.shared.model import ModelInfo

#: The gateway's own methods take a name at most; nobody needs more for one.
MAX_ARGUMENT_BYTES = 64 * 1024


class Service:
    """The table of methods. It grows when a worker brings a model that was not known."""

    def __init__(self, name: str, get_status: Callable[[], dict[str, Any]]) -> None:
        self.name = name
        self.models: dict[str, ModelInfo] = {}
        self._methods: dict[str, Method] = {}
        self._hidden: dict[str, OwnMethod] = {}
        for method in (
            OwnMethod("get_models", (), _GET_MODELS, self._get_models, needs_models=True),
            OwnMethod(
                "get_model_metadata",
                ("qualified_name",),
                _GET_MODEL_METADATA,
                self._get_model_metadata,
                needs_models=True,
            ),
            OwnMethod("get_status", (), _GET_STATUS, get_status),
        ):
            self._methods[method.name] = method
        for method in (
            OwnMethod("_zerorpc_inspect", (), "", self._inspect, needs_models=True),
            OwnMethod("_zerorpc_list", (), "", lambda: list(self._methods), needs_models=True),
            OwnMethod("_zerorpc_name", (), "", lambda: self.name),
            OwnMethod("_zerorpc_ping", (), "", lambda: ["pong", self.name]),
            OwnMethod("_zerorpc_help", ("method",), "", self._help, needs_models=True),
            OwnMethod("_zerorpc_args", ("method",), "", self._args, needs_models=True),
        ):
            self._hidden[method.name] = method

    def __repr__(self) -> str:
        return f"<Service {self.name} models={len(self.models)} methods={len(self._methods)}>"

    def add_model(self, info: ModelInfo) -> None:
        """Serve a model, or take over what a newer worker says of it."""
        self.models[info.qualified_name] = info
        for method in _model_methods(info):
            self._methods[method.name] = method

    def find(self, name: str) -> Method:
        """The method of that name.

        Raises:
            UnknownMethod: there is none.
        """
        method = self._methods.get(name) or self._hidden.get(name)
        if method is None:
            raise UnknownMethod(name)
        return method

    def may_become_known(self, name: str) -> bool:
        """Tell whether a worker that registers later could bring this method."""
        return model_of(name) is not None

    def answer(self, method: OwnMethod, args: bytes) -> object:
        """Call one of the gateway's own methods with a packed argument array.

        Raises:
            WrongArguments, UnknownModel, UnknownName, PayloadTooLarge: the caller's mistakes.
        """
        if len(args) > MAX_ARGUMENT_BYTES:
            raise PayloadTooLarge(
                f"{method.name}() takes {MAX_ARGUMENT_BYTES} bytes of arguments, not {len(args)}"
            )
        given = arguments(args, method.name)
        check_count(len(given), method.name, method.parameters)
        return method.answer(*given)

    def _get_models(self) -> list[dict[str, Any]]:
        return [info.summary() for info in self.models.values()]

    def _get_model_metadata(self, qualified_name: object) -> dict[str, Any]:
        info = self.models.get(qualified_name) if isinstance(qualified_name, str) else None
        if info is None:
            raise UnknownModel("Metadata not found for this model.")
        return info.metadata()

    def _inspect(self) -> dict[str, Any]:
        methods = {
            method.name: {
                "args": [{"name": name} for name in method.parameters],
                "doc": method.doc,
            }
            for method in self._methods.values()
        }
        return {"name": self.name, "methods": methods}

    def _help(self, name: object) -> str:
        return self._listed(name).doc

    def _args(self, name: object) -> list[object]:
        # names, varargs, kwargs, defaults: what getargspec used to give.
        return [list(self._listed(name).parameters), None, None, None]

    def _listed(self, name: object) -> Method:
        method = self._methods.get(name) if isinstance(name, str) else None
        if method is None:
            # Anything but a name may be nested deeper than `repr` follows.
            raise UnknownName(repr(name) if isinstance(name, str) else reprlib.repr(name))
        return method


def _model_methods(info: ModelInfo) -> list[ModelMethod]:
    name = info.qualified_name
    title = f"{info.display_name} {info.major_version}.{info.minor_version}"
    properties = info.input_schema.get("properties")
    # The schema is the model author's, and nobody has checked it here.
    fields = map(str, properties) if isinstance(properties, dict) else ()
    inputs = ", ".join(fields) or "see get_model_metadata"
    about = f"{info.description}\n\nFields of one row: {inputs}."
    return [
        ModelMethod(
            name + CALL_SUFFIX,
            name,
            Shape.CALL,
            f"Predict one row with {title}.\n\n{about}",
        ),
        ModelMethod(
            name + BATCH_SUFFIX,
            name,
            Shape.BATCH,
            f"Predict an array of rows with {title}.\n\n{about}\n\n"
            'The result is {"predictions": [...], "errors": [{"index", "name", "message"}]}: '
            "one prediction for each row, in order, nil where a row failed.",
        ),
        ModelMethod(
            name + STREAM_SUFFIX,
            name,
            Shape.STREAM,
            f"Predict an array of rows with {title}, as a stream.\n\n{about}\n\n"
            'Each item is {"index", "prediction"} or {"index", "error": {"name", "message"}}, '
            "in the order in which they become available.",
        ),
    ]


_GET_MODELS = """List the models that are served.

Each entry has display_name, qualified_name, description, major_version and minor_version."""

_GET_MODEL_METADATA = """Describe one model: what get_models says, and its schemas.

input_schema and output_schema are JSON Schema. A name that is not served is a ValueError."""

_GET_STATUS = """Report workers, queues, calls in flight and rates.

Times are in seconds. The answer holds counts and names only, never anybody's data."""
