"""Remarks on what the answer rests on."""

from __future__ import annotations

from advisor.feasibility.checks.base import Evidence, Finding
from advisor.feasibility.given import given_notes
from advisor.space.search_space import is_opaque
from specs.spec import Spec


class AssumedData:
    code, title = "EA001", "data assumed"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        if not evidence.peek.assumed:
            return None
        text = f"{evidence.peek.assumed}; ask again when the data is there"
        return Finding(self.code, "warning", self.title, text)


class AssumedVerdict:
    code, title = "EA002", "out of reach for the assumed input only"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        found = tuple(t.target for t in evidence.targets if t.impossible and t.verdict == "possible")
        if not found:
            return None
        text = "no candidate meets the limits with the assumed input, a smaller one may: nothing is proven without data"
        return Finding(self.code, "problem", self.title, text, found)


class Given:
    code, title = "EA016", "models that the spec names"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        notes = given_notes(spec, evidence.peek)
        return Finding(self.code, "info", self.title, "; ".join(notes)) if notes else None


class Opaque:
    code, title = "EA015", "imported networks have no bound before export"

    def check(self, spec: Spec, evidence: Evidence) -> Finding | None:
        names = [name for name in spec.search.architectures if is_opaque(name)]
        if not names:
            return None
        text = (
            f"of {', '.join(names)} only the runtime's own needs are known, so bounds are weak; leave them out to see "
            "what the other architectures can do"
        )
        return Finding(self.code, "info", self.title, text)
