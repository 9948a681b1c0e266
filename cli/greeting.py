"""What `zeropool serve` says when it serves: the models, and a call that works.

No I/O: the caller prints it.
"""

from __future__ import annotations

import json
import shlex

from zeropool.shared.config import DEFAULT_BIND, Config, client_endpoint
from zeropool.shared.examples import example_row
from zeropool.shared.model import ModelInfo


def served(config: Config, models: list[ModelInfo], workers: int, command: str) -> str:
    """The lines for the user, who calls the program by ``command``."""
    from importlib import metadata  # noqa: PLC0415 - costs 15 ms, which nobody waits for by now

    lines = [
        f"Zeropool {metadata.version('zeropool')} serves {config.gateway.bind}",
        *(
            f"  model    {info.qualified_name} {info.major_version}.{info.minor_version}"
            f" ({info.display_name})"
            for info in models
        ),
        f"  workers  {workers}, threads per worker {config.worker.threads}",
    ]
    if config.serve.gateways > 1:
        lines.append(f"  gateways {config.serve.gateways}")
    info = models[0]
    example = shlex.quote(json.dumps(example_row(info.input_schema)))
    endpoint = client_endpoint(config)
    connect = "" if endpoint == DEFAULT_BIND else f"--connect {shlex.quote(endpoint)} "
    lines += [
        f"  try it   {command} call {connect}{info.qualified_name}_predict {example}",
        "  stop it  Ctrl-C",
    ]
    return "\n".join(lines)
