"""How many workers `zeropool serve` runs, and how many it lets itself be asked for.

No I/O; the number of cores is an argument.
"""

from __future__ import annotations

from zeropool.shared.config import Config

#: More processes than this on one core only cost memory: each holds its own copy of the models.
MOST_WORKERS_PER_CORE = 4


def worker_count(config: Config, cores: int) -> int:
    """The number of workers on ``cores`` cores; unless it is set, none that had no model."""
    count = config.worker.effective_count(cores)
    if config.worker.count:
        return count
    return min(count, _workers_with_a_model(config) or count)


def most_workers(config: Config, cores: int) -> int:
    """The number of workers above which TTIN is refused; never below the configured one."""
    most = MOST_WORKERS_PER_CORE * cores
    return max(min(most, _workers_with_a_model(config) or most), worker_count(config, cores))


def count_after_reload(before: Config, after: Config, running: int, cores: int) -> int:
    """The number of workers after a reload, of those that run.

    What TTIN and TTOU have made of it stays, unless another number is configured now.
    """
    configured = worker_count(after, cores)
    is_the_same = configured == worker_count(before, cores)
    return min(running if is_the_same else configured, most_workers(after, cores))


def _workers_with_a_model(config: Config) -> int:
    """How many workers can hold any model; 0: any number."""
    limits = [model.workers for model in config.models]
    return max(limits) if all(limits) else 0
