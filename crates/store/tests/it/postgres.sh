#!/bin/sh
# Starts a private PostgreSQL for one run of the tests: a socket in a folder of its own, no port, no durability.
# Prints `ready FOLDER` once it answers, or `failed WHY`; ends when its standard input ends and leaves nothing.
set -u
fail() { echo "failed $*"; exit 1; }
programs=
for folder in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/local/opt/postgresql*/bin /opt/homebrew/opt/postgresql*/bin | sort -V); do
  [ -x "$folder/initdb" ] && programs=$folder
done
[ -n "$programs" ] || programs=$(dirname "$(readlink -f "$(command -v initdb || echo /missing/initdb)")")
[ -x "$programs/initdb" ] && [ -x "$programs/postgres" ] && [ -x "$programs/pg_isready" ] ||
  fail 'the server programs of PostgreSQL are not installed: install the package `postgresql`'

home=$(mktemp -d /tmp/sekisho-pg.XXXXXX) || fail 'no temporary folder'
pid=
finish() {
  [ -z "$pid" ] || { kill -INT "$pid" 2>/dev/null; wait "$pid"; }
  rm -rf "$home"
}
trap finish EXIT
trap 'exit 1' INT TERM
# The server refuses to run as root.
as=
if [ "$(id -u)" = 0 ]; then
  owner=postgres
  id "$owner" >/dev/null 2>&1 || owner=nobody
  chown "$owner" "$home"
  as="setpriv --reuid=$(id -u "$owner") --regid=$(id -g "$owner") --clear-groups"
fi
cd /
$as "$programs/initdb" --pgdata="$home/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync \
  >"$home/initdb.log" 2>&1 || fail "initdb: $(tail -n 3 "$home/initdb.log" | tr '\n' ' ')"
$as "$programs/postgres" -D "$home/data" -k "$home" -c listen_addresses= -c max_connections=300 \
  -c fsync=off -c synchronous_commit=off -c full_page_writes=off >"$home/server.log" 2>&1 </dev/null &
pid=$!
tries=0
until "$programs/pg_isready" --quiet --host="$home"; do
  tries=$((tries + 1))
  [ "$tries" -lt 150 ] && kill -0 "$pid" 2>/dev/null || fail "postgres: $(tail -n 3 "$home/server.log" | tr '\n' ' ')"
  sleep 0.1
done
echo "ready $home"
# Whoever started us holds the other end; however they end, we end.
cat >/dev/null
