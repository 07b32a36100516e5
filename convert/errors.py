"""What can go wrong between a checkpoint and its exports."""


class ModelLoadingError(Exception):
    """A checkpoint cannot be used; the message names the file or tensor, what was found and what would be right."""


class ExportError(Exception):
    """An export does not compute what transformers computes, within the tolerance its message names."""
