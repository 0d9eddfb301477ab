# Sourced by the scripts beside it: messages, rights, versions.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# rustup puts cargo there and changes PATH for later logins only.
if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
fi

say() { printf 'indexpilot: %s\n' "$*" >&2; }

# One clear line, and the end.
fail() {
    printf 'indexpilot: error: %s\n' "$*" >&2
    exit 1
}

need_cargo() {
    command -v cargo >/dev/null || fail "there is no cargo here: scripts/prerequisites installs it (see https://rustup.rs)"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "\"$*\" needs root, and there is no sudo here"
    fi
}

# Installs the Debian packages named that are missing.
need_packages() {
    local missing=() package
    for package in "$@"; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            missing+=("$package")
        fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        fail "this is not Debian or Ubuntu; install yourself what these packages hold: ${missing[*]}"
    say "installing the Debian packages ${missing[*]}"
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        "${missing[@]}" >"${TMPDIR:-/tmp}/indexpilot-apt.$$" 2>&1; then
        # The lists may be old or absent, as on a fresh machine.
        as_root apt-get update -q >/dev/null 2>&1 || true
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
            "${missing[@]}" >"${TMPDIR:-/tmp}/indexpilot-apt.$$" 2>&1 || {
            tail -n 5 "${TMPDIR:-/tmp}/indexpilot-apt.$$" >&2
            fail "apt-get could not install ${missing[*]}"
        }
    fi
    rm -f "${TMPDIR:-/tmp}/indexpilot-apt.$$"
}
