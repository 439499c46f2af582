#!/usr/bin/env bash
# Expected: {"multipleOf": 0.01} is how a schema says "an amount with cents", 19.99 fits it, and the validators that
#           one SDK offers for the same purpose agree about it.
# Happens:  of the two validators the TypeScript MCP client comes with, the one made with Ajv refuses 19.99, 4.35 and
#           0.07, the other (for edge runtimes) takes them. PyPI jsonschema, on which the Python SDK depends, refuses
#           them too. All three agree on 1.25, and on refusing 1.005.
# Versions: npm @modelcontextprotocol/client 2.4.0, PyPI jsonschema 4.26.0. Seen 2026-11-30 with Node 20.20.2 and
#           Python 3.11.7:
#                     ajv       cf-worker  jsonschema
#             19.99   refused   taken      refused
#             4.35    refused   taken      refused
#             0.07    refused   taken      refused
#             1.25    taken     taken      taken
#             1.005   refused   refused    refused
# Matters:  the same structured result of a tool is an error to a client in one runtime and fine in another. A
#           gateway that checks calls or results against such schemas has to choose a side, and should say which.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent @modelcontextprotocol/client@2.4.0 >&2
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check jsonschema==4.26.0 >&2

cat > show.js <<'JS'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/client/validators/ajv';
import { CfWorkerJsonSchemaValidator } from '@modelcontextprotocol/client/validators/cf-worker';

for (const [who, maker] of [['ajv', new AjvJsonSchemaValidator()], ['cf-worker', new CfWorkerJsonSchemaValidator()]]) {
  const validate = maker.getValidator({ type: 'number', multipleOf: 0.01 });
  for (const amount of [19.99, 4.35, 0.07, 1.25, 1.005]) {
    console.log(`${who} ${amount} ${validate(amount).valid ? 'taken' : 'refused'}`);
  }
}
JS
cat > show.py <<'PY'
from jsonschema import Draft202012Validator

validator = Draft202012Validator({"type": "number", "multipleOf": 0.01})
for amount in (19.99, 4.35, 0.07, 1.25, 1.005):
    print("jsonschema", amount, "taken" if validator.is_valid(amount) else "refused")
PY
{ timeout 60 node show.js; timeout 60 venv/bin/python show.py; } | tee seen
diff - seen <<'TEXT' || { echo "The validators do not judge these amounts as described any more." >&2; exit 1; }
ajv 19.99 refused
ajv 4.35 refused
ajv 0.07 refused
ajv 1.25 taken
ajv 1.005 refused
cf-worker 19.99 taken
cf-worker 4.35 taken
cf-worker 0.07 taken
cf-worker 1.25 taken
cf-worker 1.005 refused
jsonschema 19.99 refused
jsonschema 4.35 refused
jsonschema 0.07 refused
jsonschema 1.25 taken
jsonschema 1.005 refused
TEXT
