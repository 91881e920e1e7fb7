"""Whether a spec can be met at all, answered before anything is trained."""
