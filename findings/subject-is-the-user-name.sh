#!/usr/bin/env bash
# Expected: the "sub" of an OpenID provider stays with one person and is never given to another one (OpenID Connect Core 1.0
#           §2: "locally unique and never reassigned").
# Happens:  canaille's default is the user name. A person who is renamed comes with another "sub", and the next person who
#           gets the old user name comes with the old one. The identifier that does stay, "id", is in no claim.
# Versions: PyPI canaille 0.3.6. Seen 2026-12-01 with Python 3.11.7:
#             Ada, user name ada                          sub ada
#             Ada, renamed to lovelace                    sub lovelace
#             somebody else, with the user name ada then  sub ada
# Matters:  a client that knows people by issuer and "sub", as it should, takes the second ada for the first and gives her
#           what was the first one's, and makes a stranger of the person who was renamed. CANAILLE_OIDC.USERINFO_MAPPING
#           has to set SUB = "{{ user.id }}" before the first sign-in.
set -euo pipefail
dir=$(mktemp -d)
server=''
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check 'canaille[front,oidc,server,sqlite]==0.3.6' >&2
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
venv/bin/canaille jwk create rsa > key.json 2>/dev/null
python3 - "$port" > canaille.toml <<'PY'
import json
import sys

key = ", ".join(f'{name} = "{value}"' for name, value in json.load(open("key.json")).items())
print(f'SECRET_KEY = "a key of this script"\nSERVER_NAME = "127.0.0.1:{sys.argv[1]}"\nPREFERRED_URL_SCHEME = "http"')
print('[CANAILLE]\nDATABASE = "sql"\n[CANAILLE_SQL]\nDATABASE_URI = "sqlite:///canaille.db"')
print(f"[CANAILLE_OIDC]\nACTIVE_JWKS = [{{ {key} }}]")
PY
export CANAILLE_CONFIG=canaille.toml
canaille() { timeout 60 venv/bin/canaille "$@" >/dev/null 2>>log; }
client() {
  canaille create client --client-id "$1" --client-secret secret --client-name "$1" --client-uri http://127.0.0.1 \
    --redirect-uris http://127.0.0.1:9/callback --grant-types authorization_code --response-types code --scope openid \
    --token-endpoint-auth-method client_secret_basic "${@:2}"
}
person() {
  canaille create user --user-name "$1" --given-name "$2" --family-name "$2" --emails "$2@example.com" \
    --password correct-horse-battery
}
canaille install
person ada ada
client app
canaille set client app --audience app
timeout 120 venv/bin/canaille run --bind "127.0.0.1:$port" >>log 2>&1 &
server=$!

cat > show.py <<'PY'
import base64
import json
import re
import sys
import time

import httpx

BASE = f"http://127.0.0.1:{sys.argv[1]}"
REDIRECT = "http://127.0.0.1:9/callback"


def subject(user: str) -> str:
    browser = httpx.Client(base_url=BASE)
    asked = {"client_id": "app", "redirect_uri": REDIRECT, "response_type": "code", "scope": "openid", "nonce": "n"}
    seen = browser.get("/oauth/authorize", params=asked)
    for _ in range(12):
        if seen.is_redirect:
            to = seen.headers["location"]
            if to.startswith(REDIRECT):
                break
            seen = browser.get(to)
            continue
        form = dict(re.findall(r'name="(csrf_token)"[^>]*value="([^"]*)"', seen.text))
        if 'name="login"' in seen.text:
            form["login"] = user
        elif 'name="password"' in seen.text:
            form["password"] = "correct-horse-battery"
        else:
            form["answer"] = "accept"
        seen = browser.post(seen.url, data=form)
    code = re.search(r"code=([^&]*)", to).group(1)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    token = httpx.post(f"{BASE}/oauth/token", data=form, auth=("app", "secret")).json()["id_token"]
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sub"]


for _ in range(100):
    try:
        httpx.get(f"{BASE}/.well-known/openid-configuration").raise_for_status()
        break
    except httpx.HTTPError:
        time.sleep(0.2)
print(sys.argv[3], "->", subject(sys.argv[2]))
PY
show() { timeout 60 venv/bin/python show.py "$port" "$@"; }
show ada 'Ada, user name ada' | tee seen
canaille set user ada --user-name lovelace
show lovelace 'Ada, renamed to lovelace' | tee -a seen
person ada grace
show ada 'somebody else, with the user name ada then' | tee -a seen
diff - seen <<'TEXT' || { echo "The subject does not follow the user name as described any more." >&2; exit 1; }
Ada, user name ada -> ada
Ada, renamed to lovelace -> lovelace
somebody else, with the user name ada then -> ada
TEXT
