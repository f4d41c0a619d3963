"""The errors that a person may see: one plain sentence that says what was wrong, got and expected."""


class ExplorerError(Exception):
    """Base of all errors raised on purpose by this package; `str(error)` can be shown to a person as it is."""


class ImageError(ExplorerError):
    """The photo cannot be read or is not of a kind that is accepted."""


class FramingError(ExplorerError):
    """The photo cannot be turned into the requested network input."""


class ParameterError(ExplorerError, ValueError):
    """A name or number is not one of those that exist, or is outside its range."""


class NetworkError(ExplorerError):
    """A network cannot be loaded, or its file is not what it should be."""


class MethodError(ExplorerError):
    """A method does not apply to this network, image or layer."""


class RunError(ExplorerError):
    """A run over a folder of photos cannot be begun, gone on with, opened or queried."""


class StoppedError(ExplorerError):
    """A long computation was stopped at its caller's request."""
