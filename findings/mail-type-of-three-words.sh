#!/usr/bin/env bash
# Expected: a SCIM user whose mail address has the type "private" is read: RFC 7643 §4.1.2 names "work", "home" and "other" as
#           canonical values, and §7 lets a service provider use others.
# Happens:  PyPI scim2-models reads it, and writes "Work" as "work". npm scimmy throws a TypeError, for "private" and for "Work"
#           alike, so the whole user is lost for one word of one address.
# Versions: npm scimmy 1.3.5; PyPI scim2-models 0.12.3. Seen 2026-12-01 with Node 22.23.3 and Python 3.11.7:
#             scimmy        work     read
#             scimmy        Work     TypeError: Attribute 'type' contains non-canonical value from complex attribute 'emails'
#             scimmy        private  TypeError: Attribute 'type' contains non-canonical value from complex attribute 'emails'
#             scim2-models  work     read
#             scim2-models  Work     became work
#             scim2-models  private  read
# Matters:  whoever passes users on from one SCIM service to another (an identity provider, a gateway in front of servers)
#           has to expect that a type which it took over unchanged makes the user unreadable at the next one.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent scimmy@1.3.5 >&2
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check scim2-models==0.12.3 >&2

cat > show.js <<'JS'
import SCIMMY from 'scimmy';

for (const type of ['work', 'Work', 'private']) {
  const user = { schemas: [SCIMMY.Schemas.User.id], userName: 'ada', emails: [{ value: 'ada@example.com', type }] };
  let seen = 'read';
  try {
    new SCIMMY.Schemas.User(user, 'in');
  } catch (error) {
    seen = `${error.name}: ${error.message}`;
  }
  console.log('scimmy', type, seen);
}
JS
cat > show.py <<'PY'
from scim2_models import User

for kind in ("work", "Work", "private"):
    emails = [{"value": "ada@example.com", "type": kind}]
    user = User.model_validate({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada", "emails": emails})
    print("scim2-models", kind, "read" if user.emails[0].type == kind else f"became {user.emails[0].type}")
PY
timeout 60 node show.js | tee seen
timeout 60 venv/bin/python show.py | tee -a seen
diff - seen <<'TEXT' || { echo "These types of mail addresses are not read as described any more." >&2; exit 1; }
scimmy work read
scimmy Work TypeError: Attribute 'type' contains non-canonical value from complex attribute 'emails'
scimmy private TypeError: Attribute 'type' contains non-canonical value from complex attribute 'emails'
scim2-models work read
scim2-models Work became work
scim2-models private read
TEXT
