"""The life of a process: `run(main, name=…)` and what `main` gets; how it logs, and how it tells that it is well."""

from skerry.runtime.logs import HumanFormatter, JsonFormatter, configure_logging, logs_for_people, redact
from skerry.runtime.process import Exit, Main, Runtime, endless, run
from skerry.runtime.system import allow_many_files, die_with_parent, give_back_freed_memory, keep_freed_memory

__all__ = [
    "Exit",
    "HumanFormatter",
    "JsonFormatter",
    "Main",
    "Runtime",
    "allow_many_files",
    "configure_logging",
    "die_with_parent",
    "endless",
    "give_back_freed_memory",
    "keep_freed_memory",
    "logs_for_people",
    "redact",
    "run",
]
