#!/usr/bin/env bash
# environment: VENV LOCK -> a virtual environment that holds exactly the lock and this tree's three distributions.
# Quick when nothing changed. Whatever is missing on the machine is named in one line that says what to do.
set -euo pipefail

venv=$1 lock=$2
case $lock in
  *production*) need_gb=14 download_gb=4 ;;
  *) need_gb=5 download_gb=1 ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

refuse() {
  printf 'setup: %s\n' "$1" >&2
  exit 1
}

# One maker at a time: `make demo` and `make test` may be started side by side.
exec 9<.
flock 9

stamp=$(cat "$lock" build-constraints.txt pyproject.toml gen/pyproject.toml clients/python/pyproject.toml deploy/environment.sh \
  <(pwd) | sha256sum)
if [[ -x $venv/bin/python && -f $venv/.stamp && $(<"$venv/.stamp") == "$stamp" ]] && "$venv/bin/python" -c '' 2>/dev/null; then
  exit 0
fi

[[ $(uname -sm) == "Linux x86_64" ]] || refuse "the server runs on Linux x86-64 only, this is $(uname -sm); the SDK alone installs anywhere (clients/python)"
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2) || true
[[ -n $libc && $(printf '2.28\n%s\n' "$libc" | sort -V | head -n1) == 2.28 ]] ||
  refuse "glibc 2.28 or newer is needed, found ${libc:-none (musl?)}; use Debian 10, Ubuntu 20.04, RHEL 8 or newer"

python=
for candidate in ${PYTHON:-python3.11 python3}; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[[ -n $python ]] || refuse "Python 3.11 is needed and ${PYTHON:-python3.11 or python3} is not it; install it, or name it: make setup PYTHON=/path/to/python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  refuse "$python has no venv module; install the package python3.11-venv (Debian, Ubuntu) or a complete Python 3.11"

if [[ ! -d $venv ]]; then
  free_gb=$(($(df -Pk . | awk 'NR == 2 {print $4}') / 1048576))
  ((free_gb >= need_gb)) || refuse "$need_gb GB of free disk are needed here, found $free_gb GB; free some, or clone elsewhere"
fi

printf 'setup: %s from %s (the first time downloads about %s GB)\n' "$venv" "$lock" "$download_gb"
if [[ ! -f $venv/pyvenv.cfg ]] || ! "$venv/bin/python" -c 'import pip' 2>/dev/null || [[ $(cat "$venv/.home" 2>/dev/null) != "$PWD/$venv" ]]; then
  rm -rf "$venv"
  "$python" -m venv "$venv" || refuse "$python could not make $venv; see above"
  printf '%s\n' "$PWD/$venv" >"$venv/.home"
fi
rm -f "$venv/.stamp"

# uv, by pip and by hash; then everything, by uv and by hash.
awk '/^[^ ]/ {on = /^uv==/} on' "$lock" >"$venv/uv.lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$venv/uv.lock" ||
  refuse "pip could not install uv; if packages come through a mirror here, set PIP_INDEX_URL"
# uv reads neither pip's settings nor, unasked, the machine's certificates: a company's mirror needs both.
index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$("$venv/bin/python" -m pip config get global.index-url 2>/dev/null || true)}}
[[ -z $index ]] || export UV_DEFAULT_INDEX=$index
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
  [[ ! -s $bundle ]] || export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true}
done
quiet=--quiet
[[ ! -t 2 ]] || quiet=  # somebody is watching: show the downloads
uv() { "$venv/bin/uv" "$@"; }
export VIRTUAL_ENV=$PWD/$venv
uv pip sync $quiet --require-hashes --build-constraints build-constraints.txt "$lock" ||
  refuse "the packages of $lock could not be installed; see above, then run make setup again (finished downloads are kept)"
uv pip install --quiet --offline --no-deps --no-build-isolation -e gen -e clients/python -e . ||
  refuse "this tree's own distributions could not be installed; see above"
printf '%s' "$stamp" >"$venv/.stamp"
