#!/usr/bin/env bash
# Expected: the filter userName eq "ada@example.com" finds the user Ada@Example.com, because userName has no case (caseExact
#           false, RFC 7643 §8.7.1), and the value of a filter is a JSON string (RFC 7644 §3.4.2.2), so a quote is \".
# Happens:  npm scimmy compares userName letter by letter, and does not read a value with \" in it. Names of attributes and
#           operators have no case there, as the RFC says.
# Versions: npm scimmy 1.3.5. Seen 2026-12-01 with Node 22.23.3:
#             userName eq "Ada@Example.com"  found 1
#             userName eq "ada@example.com"  found 0
#             USERNAME EQ "Ada@Example.com"  found 1
#             userName sw "ada"              found 0
#             nickName eq "the \"countess\"" SCIMError: Unexpected token 'countess\""' in filter
# Matters:  an identity provider asks with such a filter before it makes a user, and often writes names in small letters. With
#           nothing found it makes the same person a second time, and whatever hangs on the first one (rights, an end of
#           access) does not reach the second.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private":true,"type":"module"}' > package.json
timeout 300 npm install --no-audit --no-fund --silent scimmy@1.3.5 >&2

cat > show.js <<'JS'
import SCIMMY from 'scimmy';

const users = [{ id: '1', userName: 'Ada@Example.com', nickName: 'the "countess"' }];
const filters = [
  'userName eq "Ada@Example.com"',
  'userName eq "ada@example.com"',
  'USERNAME EQ "Ada@Example.com"',
  'userName sw "ada"',
  String.raw`nickName eq "the \"countess\""`,
];
if (SCIMMY.Schemas.User.definition.attribute('userName').config.caseExact) throw new Error('userName has a case now');
for (const filter of filters) {
  let seen;
  try {
    seen = `found ${new SCIMMY.Types.Filter(filter).match(users).length}`;
  } catch (error) {
    seen = `${error.name}: ${error.message}`;
  }
  console.log(filter, '->', seen);
}
JS
timeout 60 node show.js | tee seen
diff - seen <<'TEXT' || { echo "Filters do not compare as described any more." >&2; exit 1; }
userName eq "Ada@Example.com" -> found 1
userName eq "ada@example.com" -> found 0
USERNAME EQ "Ada@Example.com" -> found 1
userName sw "ada" -> found 0
nickName eq "the \"countess\"" -> SCIMError: Unexpected token 'countess\""' in filter
TEXT
