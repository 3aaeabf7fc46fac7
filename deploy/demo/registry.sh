#!/usr/bin/env bash
# An image registry for the hosts of hosts.sh: plain HTTP on the bridge's own address, port 5000,
# which every host's dockerd accepts.
#
#   registry.sh up   [--state DIR] [--htpasswd FILE]
#                                    start it; harmless when it runs. With a file of users and
#                                    bcrypt passwords it wants a login, from this start on
#   registry.sh stop [--state DIR]   stop it and keep its images
#   registry.sh down [--state DIR]   stop it and remove its images
#
# `hosts.sh down` takes it along.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hosts/state.sh
source "$here/hosts/state.sh"
# shellcheck source=hosts/processes.sh
source "$here/hosts/processes.sh"
# shellcheck source=hosts/daemons.sh
source "$here/hosts/daemons.sh"

PORT=5000

write_config() {
    cat >"$1/config.yml" <<YAML
version: 0.1
log:
  level: info
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: $1/data
  delete:
    enabled: true
http:
  addr: $(gateway):$PORT
YAML
    [[ -z $HTPASSWD ]] || cat >>"$1/config.yml" <<YAML
auth:
  htpasswd:
    realm: paasta
    path: $HTPASSWD
YAML
}

# One that wants a login answers too.
answers() {
    local code
    code=$(curl -sS -m 5 -o /dev/null -w '%{http_code}' "http://$(gateway):$PORT/v2/" 2>/dev/null)
    [[ $code == 200 || $code == 401 ]]
}

up() {
    command -v docker-registry >/dev/null || die "docker-registry is missing: run deploy/demo/install.sh"
    command -v curl >/dev/null || die "curl is missing: run deploy/demo/install.sh"
    local dir=$STATE/registry
    if ! alive "$dir/pid"; then
        ! answers || die "something else already answers on $(gateway):$PORT: stop it first"
        mkdir -p "$dir/data"
        write_config "$dir"
        run_in_group registry "$dir/log" docker-registry serve "$dir/config.yml" >"$dir/pid"
    fi
    wait_for "the registry" "$dir/pid" "$dir/log" answers
    say "registry up: $(gateway):$PORT"
}

stop() {
    end_all "$PREFIX/registry" cgroup_pids "$PREFIX/registry"
    remove_cgroups "$PREFIX/registry"
    rm -f "$STATE/registry/pid"
}

HTPASSWD=
STATE=${PAASTA_HOSTS_STATE:-$(cd "$here/../.." && pwd)/.demo/hosts}
verb=${1:-}
shift || true
while [[ $# -gt 0 ]]; do
    case $1 in
        --state) STATE=${2:?--state needs a directory}; shift 2 ;;
        --htpasswd) HTPASSWD=$(realpath "${2:?--htpasswd needs a file}"); shift 2 ;;
        *) die "unknown argument $1; use registry.sh up|stop|down [--state DIR] [--htpasswd FILE]" ;;
    esac
done
STATE=$(realpath -m "$STATE")
need_root
case $verb in
    up) must_load_state; lock_state; up ;;
    stop) must_load_state; lock_state; stop ;;
    down)
        load_state || exit 0
        lock_state
        stop
        rm -rf --one-file-system "$STATE/registry"
        ;;
    *) die "use registry.sh up|stop|down [--state DIR]" ;;
esac
