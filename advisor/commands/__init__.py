"""The verbs, one file a group. Each module has `add(subparsers)`; heavy imports are inside the verbs."""
