"""The error tree, under the engine's own roof; the classes live with the lowest layer."""

from specs.errors import AdvisorError, DataError, ModelFileError, SpecError, ToolchainError, VerificationError, nearest

__all__ = [
    "AdvisorError", "DataError", "ModelFileError", "SpecError", "ToolchainError", "VerificationError", "nearest",
]  # fmt: skip
