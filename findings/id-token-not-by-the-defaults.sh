#!/usr/bin/env bash
# Expected: an OpenID provider signs the ID token of a client that registered nothing else with RS256 (OpenID Connect Dynamic
#           Client Registration 1.0 §2), names that client in "aud" (Core §2), and gives "auth_time" in seconds.
# Happens:  canaille signs with the strongest algorithm that fits its key, RS512; "aud" of a client that was made with
#           "canaille create client" is an empty list; and "auth_time" has six digits after the point, which RFC 7519 allows
#           ("NumericDate") and which a reader of whole numbers refuses.
# Versions: PyPI canaille 0.3.6 with authlib 1.9.10 and joserfc 1.8.0. Seen 2026-12-01 with Python 3.11.7:
#             alg RS512 | aud [] | auth_time is a whole number: False
#             with --id-token-signed-response-alg RS256 and --audience: alg RS256 | aud ['app'] | ... False
# Matters:  a client library that takes RS256 for granted, or reads times as integers, lets nobody of such a provider in, and
#           says only that the token is wrong. Whoever writes one has to say which of the two it was.
set -euo pipefail
dir=$(mktemp -d)
server=''
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
timeout 300 venv/bin/pip install -q --disable-pip-version-check 'canaille[front,oidc,server,sqlite]==0.3.6' authlib==1.9.10 \
  joserfc==1.8.0 >&2
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
canaille install
canaille create user --user-name ada --family-name Lovelace --emails ada@example.com --password correct-horse-battery
client plain
client app --id-token-signed-response-alg RS256
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


def id_token(client: str) -> tuple[dict, dict]:
    browser = httpx.Client(base_url=BASE)
    asked = {"client_id": client, "redirect_uri": REDIRECT, "response_type": "code", "scope": "openid", "nonce": "n"}
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
            form["login"] = "ada"
        elif 'name="password"' in seen.text:
            form["password"] = "correct-horse-battery"
        else:
            form["answer"] = "accept"
        seen = browser.post(seen.url, data=form)
    code = re.search(r"code=([^&]*)", to).group(1)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    token = httpx.post(f"{BASE}/oauth/token", data=form, auth=(client, "secret")).json()["id_token"]
    return tuple(json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])


for _ in range(100):
    try:
        httpx.get(f"{BASE}/.well-known/openid-configuration").raise_for_status()
        break
    except httpx.HTTPError:
        time.sleep(0.2)
for client in ("plain", "app"):
    header, claims = id_token(client)
    whole = isinstance(claims["auth_time"], int)
    print(f"{client}: alg {header['alg']} | aud {claims['aud']} | auth_time is a whole number: {whole}")
PY
timeout 100 venv/bin/python show.py "$port" | tee seen
diff - seen <<'TEXT' || { echo "The ID token is not made as described any more." >&2; exit 1; }
plain: alg RS512 | aud [] | auth_time is a whole number: False
app: alg RS256 | aud ['app'] | auth_time is a whole number: False
TEXT
