"""The root of the error tree, shared by augment and smallgan.

    SmallganError         what went wrong is the user's to fix: one line, exit code 2
      UsageError          an option, a value or an expression is wrong
      InputError          a file or folder that was named cannot be used
      OutputError         a result cannot be written where it was asked for
      MissingError        something must be made or fetched first: weights, a generator, a package
      FailedError         the work itself failed, exit code 1: a loss that is not finite, a collapsed set

Every message says what was found, what was needed and what to do.
"""


class SmallganError(Exception):
    """A mistake that the user can fix. `exit_code` is what the command line returns."""

    exit_code = 2


class UsageError(SmallganError):
    """An option, a value or an expression is wrong."""


class InputError(SmallganError):
    """A file or folder that the user named cannot be used."""


class OutputError(SmallganError):
    """A result cannot be written where it was asked for."""


class MissingError(SmallganError):
    """Something has to be made or fetched first."""


class FailedError(SmallganError):
    """The work was started and failed."""

    exit_code = 1
