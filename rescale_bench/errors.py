"""Every exception that rescale-bench raises on purpose.

RescaleBenchError
├── UsageError              a flag, a spec or a config file asks for the impossible      exit 2
│   └── UnknownNameError    a name nobody registered; carries the nearest ones           exit 2
├── PluginError             a plugin is broken, duplicate or misspelt                     exit 2
├── UnavailableError        a file or package that a metric or method needs is missing    exit 2
├── StoreError              a run folder cannot be read, written or locked                exit 2
├── ImageError              one image cannot be used                                      a row
├── WeightsError            a weights file does not fit its method                        exit 2 or a row
├── CodecError              a codec failed or did not give back what went in              a row
├── DamageError             a damage failed, or changed the size of the LR image          a row
├── MethodError             a method broke its contract (size, finite values, …)          a row
│   └── NotNativeError      the method does not serve this scale                          a row
└── UndefinedValueError     a metric has no value here (NIQE below 96×96)                 status "undefined"
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RescaleBenchError(Exception):
    """Root of the tree; its text is one line that a user can act on."""

    about: str
    """The setting that is wrong ("scales", as in `Request`), or ""; the command line puts its flag before the text."""

    def __init__(self, text: str = "", about: str = "") -> None:
        """Keep the line and the setting."""
        super().__init__(text)
        self.about = about


class UsageError(RescaleBenchError):
    """A setting, a spec or a configuration asks for something impossible."""


class UnknownNameError(UsageError):
    """A name that no plugin registered."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Describe the unknown name and suggest the nearest known ones."""
        self.kind, self.name = kind, name
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
        super().__init__(f"unknown {kind} '{name}': {hint}")


class PluginError(RescaleBenchError):
    """A plugin cannot be loaded or registers something invalid; the text names it."""


class UnavailableError(RescaleBenchError):
    """Something a metric, codec or method needs is missing; the text says how to get it."""


class StoreError(RescaleBenchError):
    """A run folder cannot be read, written or locked."""


class ImageError(RescaleBenchError):
    """One image file cannot be used; the text names it and the reason."""


class WeightsError(RescaleBenchError):
    """A weights file is missing, unsafe or does not fit the network."""


class CodecError(RescaleBenchError):
    """A codec failed, or a lossless one did not give back what went in."""


class DamageError(RescaleBenchError):
    """A damage failed, or gave back something else than an image of the same size."""


class MethodError(RescaleBenchError):
    """A method broke its contract: wrong size, not finite, wrong type."""


class NotNativeError(MethodError):
    """A method was asked for a scale that it does not serve."""


class UndefinedValueError(RescaleBenchError):
    """A metric has no value for this sample; the text says why."""
