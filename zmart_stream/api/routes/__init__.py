"""The HTTP interface's routes, one module per subject."""
