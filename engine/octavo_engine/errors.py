"""Errors that users, models or machines cause, each with the exit code that the operator reads.

    EngineError
     +- InvalidEngineConfig   64  a flag or a combination of flags is wrong
     +- InvalidModel          65  the model's files are unreadable or its architecture unsupported
     +- OutOfMemory           66  weights or one context of KV cache do not fit
     +- ModelNotFound         67  no such repository, revision or folder
     +- ModelAuthFailed       68  the hub refused the token, or the model is gated
     +- AcceleratorFault      69  the device failed
     +- ModelFetchFailed      75  the hub could not be reached; worth another try

Every message names the thing, the value and the remedy: it ends up in a condition of the InferenceService.
"""

from typing import ClassVar


class EngineError(Exception):
    exit_code: ClassVar[int] = 1


class InvalidEngineConfig(EngineError):
    exit_code = 64


class InvalidModel(EngineError):
    exit_code = 65


class OutOfMemory(EngineError):
    exit_code = 66


class ModelNotFound(EngineError):
    exit_code = 67


class ModelAuthFailed(EngineError):
    exit_code = 68


class AcceleratorFault(EngineError):
    exit_code = 69


class ModelFetchFailed(EngineError):
    exit_code = 75
