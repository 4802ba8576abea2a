"""The errors a user can meet: each names the thing at fault and the way out."""


class NarrowsError(Exception):
    """Base class of every error raised on purpose; the command line prints it without a traceback."""


class DataError(NarrowsError):
    """A data file or row cannot be used; the message names file and row and shows a right row."""


class ModelError(NarrowsError):
    """A model cannot be used as a chat model; the message says what was looked for and not found."""


class AdapterError(NarrowsError):
    """An adapter does not fit the model (layer, width) or its file cannot be read."""


class TrainingError(NarrowsError):
    """Training cannot go on; the message names the step and the last good checkpoint."""


class RunFolderError(NarrowsError):
    """An output folder holds another run, is in use, or could not be written."""


class JudgeError(NarrowsError):
    """A judge cannot be asked, or gave no readable reply; the message says why and what is kept."""


class ConfigError(NarrowsError):
    """A configuration value is wrong; the message names the field, the value and what is allowed."""
