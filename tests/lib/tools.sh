# Tools that the test command needs, installed when they are missing. Sourced by tests/run.
# shellcheck shell=bash

# shellcheck disable=SC2034 # for tests/run
CARGO_DENY_VERSION=0.20.2
# shellcheck disable=SC2034 # for tests/run
CARGO_MACHETE_VERSION=0.9.2

TOOLS="${SONDE_TOOLS:-$HOME/.cache/sonde-tools}"
export PATH="$TOOLS/bin:$PATH"

# as_root COMMAND…
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# cargo_tool NAME VERSION: builds a cargo subcommand unless that version is there already.
cargo_tool() {
    "$TOOLS/bin/$1" --version 2>/dev/null | grep -qwF "$2" ||
        env -u CARGO_TARGET_DIR cargo install --locked --root "$TOOLS" "$1@$2"
}

# The C compiler is for SQLite, zstd and ring.
compiler() {
    command -v cc >/dev/null && return
    as_root apt-get update
    as_root apt-get install --yes --no-install-recommends gcc libc6-dev
}

# Only the program out of Debian's package: installing the package would start a Prometheus server.
install_promtool() {
    command -v promtool >/dev/null && return
    local download="$TOOLS/download"
    mkdir -p "$download" "$TOOLS/bin"
    (
        cd "$download" || exit
        apt-get download prometheus || { as_root apt-get update && apt-get download prometheus; }
        dpkg-deb --extract prometheus_*.deb .
        mv usr/bin/promtool "$TOOLS/bin/"
    )
    rm -r "$download"
}
