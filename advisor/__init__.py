"""The engine: search, training, compression, measurement, verification, reports."""

import specs

if not getattr(specs, "__edge_advisor__", False):
    # a second wheel that owns a top-level `specs` silently overwrites ours
    raise ImportError(
        f"another package named 'specs' hides edge-advisor's, found at {getattr(specs, '__path__', '?')}; "
        "uninstall it or use a virtual environment of its own"
    )
