#!/usr/bin/env bash
# Makes a Debian machine ready for the demo and the end-to-end tests: installs what is missing and
# sees to it that a dockerd runs. Running it again does nothing.
#
#   install.sh           install and start
#   install.sh --check   only say what is missing; exit 1 if something is
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# command:package; the command decides, so a docker from elsewhere is as good.
NEEDED=(
    dockerd:docker.io docker:docker.io containerd:containerd runc:runc docker-init:docker.io
    docker-registry:docker-registry ip:iproute2 iptables:iptables nsenter:util-linux
    flock:util-linux setsid:util-linux ps:procps git:git curl:curl jq:jq make:make gcc:gcc
    strace:strace prometheus:prometheus promtool:prometheus busybox:busybox-static
    mkfs.ext4:e2fsprogs mkfs.btrfs:btrfs-progs faketime:faketime
    chromium:chromium chromedriver:chromium-driver
    codespell:codespell haproxy:haproxy wrk:wrk systemd-analyze:systemd
)

say() { printf '%s\n' "$*" >&2; }

missing_packages() {
    local pair
    for pair in "${NEEDED[@]}"; do
        command -v "${pair%%:*}" >/dev/null || printf '%s\n' "${pair##*:}"
    done | sort -u
    # Not needed where overlay mounts work, and small.
    if ! grep -qw overlay /proc/filesystems && ! command -v fuse-overlayfs >/dev/null; then
        printf 'fuse-overlayfs\n'
    fi
}

explain_and_fail() {
    say "missing: $(tr '\n' ' ' <<<"$1")"
    say "$2"
    say "on Debian or Ubuntu: sudo apt-get install --no-install-recommends $(tr '\n' ' ' <<<"$1")"
    say "elsewhere: a Docker engine (dockerd, containerd, runc), the docker-registry server,"
    say "iproute2, iptables, util-linux, e2fsprogs, btrfs-progs, procps, git, curl, jq, make, gcc, strace, libfaketime, codespell, haproxy, wrk, systemd, chromium with chromedriver, a static busybox, and prometheus with promtool"
    exit 1
}

install_packages() {
    local daemon new=()
    for daemon in docker-registry prometheus haproxy; do
        command -v "$daemon" >/dev/null || new+=("$daemon")
    done
    say "installing: $(tr '\n' ' ' <<<"$1")"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >&2
    # shellcheck disable=SC2086 # several packages
    apt-get install -q -y --no-install-recommends $1 >&2
    # From Debian 13 on the client is a package of its own.
    command -v docker >/dev/null || apt-get install -q -y --no-install-recommends docker-cli >&2 || true
    # These packages start a daemon, on every address or with the machine's own configuration; the
    # demo, the tests and each agent run their own.
    if [[ -d /run/systemd/system ]]; then
        for daemon in "${new[@]}"; do
            systemctl disable --now "$daemon" >&2 || true
        done
    fi
}

main() {
    # Daemons live in sbin, which is not in every PATH.
    PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
    local missing
    missing=$(missing_packages)
    if [[ ${1:-} == --check ]]; then
        [[ -z $missing ]] || explain_and_fail "$missing" "nothing was installed (--check)"
        say "nothing is missing"
        return
    fi
    [[ $# -eq 0 ]] || { say "use install.sh [--check]"; exit 2; }
    if [[ -n $missing ]]; then
        command -v apt-get >/dev/null || explain_and_fail "$missing" "this is not a Debian system"
        [[ $(id -u) -eq 0 ]] || explain_and_fail "$missing" "only root can install it"
        install_packages "$missing"
        missing=$(missing_packages)
        [[ -z $missing ]] || explain_and_fail "$missing" "apt did not provide it"
    fi
    [[ $(id -u) -eq 0 ]] || { say "nothing is missing; the demo itself needs root (namespaces, dockerd)"; exit 1; }
    command -v cargo >/dev/null || say "note: cargo is not in PATH; building needs Rust (https://rustup.rs)"
    "$here/docker.sh" up
}

main "$@"
