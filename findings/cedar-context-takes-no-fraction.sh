#!/usr/bin/env bash
# Expected: the arguments of a tool call are JSON and the context of a Cedar request is given as JSON, so the one can
#           be handed over as the other.
# Happens:  Cedar knows no fractions and no null. 19.99 is refused, and so are 20.0 and null, although 20.0 is an
#           integer to JSON Schema and null is a value that tools take. One such member anywhere, looked at by a
#           policy or not, and there is no decision at all, not even from a policy without conditions.
# Versions: PyPI cedarpy 4.12.2. Seen 2026-11-30 with Python 3.11.7, policy `permit (principal, action, resource);`:
#             {"amount": 20}                     Allow
#             {"amount": 20.0}                   NoDecision
#             {"amount": 19.99}                  NoDecision
#             {"note": null}                     NoDecision
#             {"amount": {"__extn": {"fn": "decimal", "arg": "19.99"}}}  Allow
# Matters:  a gateway that lets policies see arguments has to say how a number becomes a Cedar value and what
#           happens to one that cannot; a price written 20 or 20.0 by two clients otherwise fares differently.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check cedarpy==4.12.2 >&2

cat > show.py <<'PY'
import json
import sys

import cedarpy

DESCRIBED = [
    ({"amount": 20}, "Allow"),
    ({"amount": 20.0}, "NoDecision"),
    ({"amount": 19.99}, "NoDecision"),
    ({"note": None}, "NoDecision"),
    ({"amount": {"__extn": {"fn": "decimal", "arg": "19.99"}}}, "Allow"),
]
changed = False
for context, described in DESCRIBED:
    request = {"principal": 'User::"a"', "action": 'Action::"call"', "resource": 'Tool::"t"', "context": context}
    result = cedarpy.is_authorized(request, "permit (principal, action, resource);", [])
    print(f"{json.dumps(context):58} {result.decision.value} {'; '.join(result.diagnostics.errors)}".rstrip())
    changed |= result.decision.value != described
if changed:
    sys.exit("Cedar does not take or refuse these contexts as described any more.")
PY
timeout 60 venv/bin/python show.py
