#!/usr/bin/env bash
# Expected: in Cedar, two ways of writing one range of addresses are equal: 10.1.2.3/8 and 10.0.0.0/8 hold the same
#           addresses, as decimal("1.0") equals decimal("1.00") and duration("60s") equals duration("1m").
# Happens:  == on addresses compares address and prefix as written, so the two ranges differ, and a set that holds
#           one does not contain the other; yet each is in range of the other.
# Versions: PyPI cedarpy 4.12.2. Seen 2026-11-30 with Python 3.11.7:
#             true   decimal("1.0") == decimal("1.00")
#             true   duration("60s") == duration("1m")
#             false  ip("10.1.2.3/8") == ip("10.0.0.0/8")
#             false  [ip("10.1.2.3/8")].contains(ip("10.0.0.0/8"))
#             true   ip("10.1.2.3/8").isInRange(ip("10.0.0.0/8"))
#             true   ip("10.0.0.0/8").isInRange(ip("10.1.2.3/8"))
# Matters:  a policy that names networks has to ask with isInRange, both ways if equality is meant; with == or
#           contains its answer depends on whether someone wrote the network or a host of it.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check cedarpy==4.12.2 >&2

cat > show.py <<'PY'
import sys

import cedarpy

DESCRIBED = {
    'decimal("1.0") == decimal("1.00")': True,
    'duration("60s") == duration("1m")': True,
    'ip("10.1.2.3/8") == ip("10.0.0.0/8")': False,
    '[ip("10.1.2.3/8")].contains(ip("10.0.0.0/8"))': False,
    'ip("10.1.2.3/8").isInRange(ip("10.0.0.0/8"))': True,
    'ip("10.0.0.0/8").isInRange(ip("10.1.2.3/8"))': True,
}
request = {"principal": 'User::"a"', "action": 'Action::"call"', "resource": 'Tool::"t"', "context": {}}
seen = {}
for condition in DESCRIBED:
    policy = f"permit (principal, action, resource) when {{ {condition} }};"
    result = cedarpy.is_authorized(request, policy, [])
    if result.diagnostics.errors:
        sys.exit(f"Cedar does not evaluate this any more: {result.diagnostics.errors}")
    seen[condition] = result.decision == cedarpy.Decision.Allow
    print(f"{str(seen[condition]).lower():6} {condition}")
if seen != DESCRIBED:
    sys.exit("Cedar does not compare these values as described any more.")
PY
timeout 60 venv/bin/python show.py
