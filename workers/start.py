"""From configuration to a running worker: thread limits, models, warm-up, and the end."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from zeropool.shared.config import Config, ModelSettings
from zeropool.shared.descriptors import raise_limit
from zeropool.shared.errors import ModelRefused
from zeropool.shared.logs import fields
from zeropool.shared.model import ModelInfo
from zeropool.shared.rundir import remove_dead_sockets
from zeropool.workers.loaded_model import LoadedModel
from zeropool.workers.models import check_unique, load_model
from zeropool.workers.worker import Worker

log = logging.getLogger("zeropool.worker")

#: Read by OpenMP, OpenBLAS, MKL, BLIS, Accelerate and numexpr once, when they are loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

#: Why a model's `predict_columns` is never asked: what `columns.fields_of` takes, in short.
NO_COLUMNS = (
    "columns need an input_schema of float, int and bool fields alone, without constraints and "
    "closed to other keys; a pydantic model has none"
)


def limit_threads(threads: int) -> None:
    """Bound the threads of numerical libraries. To be called before any of them is imported."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)


def models_for(config: Config, index: int | None) -> list[ModelSettings]:
    """The models that worker ``index`` holds: those that want more workers than stand before it.

    Without an index, all.

    Raises:
        ModelRefused: there is none, so the worker would idle.
    """
    chosen = [
        model
        for model in config.models
        if index is None or model.workers == 0 or index < model.workers
    ]
    if not chosen:
        raise ModelRefused(f"no model for worker {index}: every `workers` limit is lower")
    return chosen


def load(config: Config, index: int | None) -> list[LoadedModel]:
    """Load and warm up the models of one worker.

    Raises:
        ModelRefused: one of them cannot be served.
    """
    models = [
        load_model(
            model.module_name,
            model.class_name,
            max_batch_size=model.max_batch_size,
            timeout_s=model.timeout_s,
            max_queue=model.max_queue or config.gateway.max_queue,
            max_wait_s=model.max_wait_ms / 1000,
        )
        for model in models_for(config, index)
    ]
    check_unique(models)
    for model in models:
        if model.ignores_columns:
            log.warning(
                "predict_columns is not used",
                extra=fields(model=model.info.qualified_name, reason=NO_COLUMNS),
            )
        model.warmup()
    return models


def work(  # noqa: PLR0913 - by keyword only
    config: Config,
    *,
    index: int | None,
    gateways: Sequence[str],
    runtime_dir: Path,
    on_welcome: Callable[[list[ModelInfo]], None] = lambda _: None,
    ignored: tuple[signal.Signals, ...] = (),
) -> None:
    """Run one worker in this process until it is told to end.

    Raises:
        ModelRefused: a model cannot be served.
        ConfigError: the endpoint for jobs cannot be bound.
    """
    limit_threads(config.worker.threads)
    # A worker of many gateways has many sockets, and a model has files of its own.
    raise_limit()
    remove_dead_sockets(runtime_dir, "worker-*.ipc", time.time())
    started_at = time.monotonic()
    models = load(config, index)
    log.info(
        "models loaded",
        extra=fields(
            models=[model.info.qualified_name for model in models],
            took_s=round(time.monotonic() - started_at, 3),
        ),
    )
    worker = Worker(
        models,
        config.worker,
        gateways,
        runtime_dir,
        on_welcome=on_welcome,
        ignored=ignored,
    )
    try:
        worker.run()
    finally:
        for model in models:
            _close(model)


def _close(model: LoadedModel) -> None:
    """Close a model; what it raises must not keep the others open."""
    try:
        model.close()
    except Exception:
        log.exception("close failed", extra=fields(model=model.info.qualified_name))
