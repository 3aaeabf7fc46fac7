#!/usr/bin/env bash
# Several hosts on one machine: for `make demo` and for the end-to-end tests.
#
# A host is a network namespace with its own address on a bridge, its own containerd and its own
# dockerd. Everything a host starts sits in one cgroup tree and in that namespace, which is how
# kill-host and down find all of it, even after a crash and even when the state directory is gone.
#
# Not here: paasta's own processes. They are started inside a host with `exec`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hosts/state.sh
source "$here/hosts/state.sh"
# shellcheck source=hosts/network.sh
source "$here/hosts/network.sh"
# shellcheck source=hosts/processes.sh
source "$here/hosts/processes.sh"
# shellcheck source=hosts/disk.sh
source "$here/hosts/disk.sh"
# shellcheck source=hosts/daemons.sh
source "$here/hosts/daemons.sh"
# shellcheck source=hosts/power.sh
source "$here/hosts/power.sh"

usage() {
    cat <<'TEXT'
Several hosts on one machine, each a network namespace with an address and a dockerd of its own.

  hosts.sh up PREFIX N [--subnet 10.77.0.0/24|auto] [--live-restore] [--driver NAME]
                         bring up hosts PREFIX-1 .. PREFIX-N; harmless when they are up already
  hosts.sh down          remove every trace of them, images and the registry included
  hosts.sh status        one line per host: name, address, power, link, docker, socket
  hosts.sh exec HOST CMD...   run a command in the host's network
  hosts.sh kill-host HOST     power loss: everything on the host dies at once, its disk stays
  hosts.sh start-host HOST [--disk MIB]
                         power on again; or only start the daemons that are not running. With
                         --disk a host that is off gets an empty disk of that size for its docker
  hosts.sh cut HOST      take the host off the bridge, silently, with all its processes running
  hosts.sh heal HOST     put it back
  hosts.sh processes [HOST]   pid, start time and name of everything that belongs to the hosts

HOST is a name (demo-2) or a number (2). Every command takes --state DIR (before HOST for exec);
without it PAASTA_HOSTS_STATE is used, then .demo/hosts in the repository.
The bridge has address .1 of the subnet, hosts have .11, .12 and so on.
TEXT
}

cmd_up() {
    [[ $# -eq 2 ]] || die "up needs PREFIX and N: hosts.sh up demo 3"
    check_request "$1" "$2"
    need_tools
    trap forget_empty_state EXIT
    lock_state
    claim_or_resume "$1" "$2"
    local index
    for index in $(indices); do prepare_host "$index"; done
    for index in $(indices); do start_containerd "$index"; done
    for index in $(indices); do wait_containerd "$index"; start_dockerd "$index"; done
    for index in $(indices); do wait_dockerd "$index"; done
    say "$COUNT hosts up: $PREFIX-1 .. $PREFIX-$COUNT on $SUBNET, storage driver $DRIVER"
}

# A down, and an up that was refused, leave no directory behind.
forget_empty_state() {
    [[ ! -f $STATE/network ]] || return 0
    rm -f "$STATE/.lock"
    rmdir "$STATE" 2>/dev/null || true
}

cmd_down() {
    [[ -e $STATE ]] || { say "nothing is up in $STATE"; return 0; }
    lock_state
    if ! load_state; then
        say "nothing is up in $STATE"
    else
        purge "$PREFIX" "$STATE"
        say "hosts $PREFIX are gone"
    fi
    forget_empty_state
}

cmd_status() {
    load_state || { say "nothing is up in $STATE"; return 0; }
    local index power link docker
    for index in $(indices); do
        power=off link=none docker=dead
        if host_exists "$index"; then
            power=on
            link=$(link_state "$index")
            docker_answers "$index" && docker=up
        fi
        printf '%s\t%s\tpower=%s\tlink=%s\tdocker=%s\t%s\n' \
            "$(host_name "$index")" "$(host_ip "$index")" "$power" "$link" "$docker" \
            "$(host_dir "$index")/docker.sock"
    done
}

cmd_exec() {
    [[ $# -ge 2 ]] || die "exec needs HOST and a command: hosts.sh exec demo-1 ip addr"
    must_load_state
    local index
    index=$(parse_host "$1")
    shift
    host_exists "$index" || die "$(host_name "$index") is off: hosts.sh start-host $index"
    # Not `ip netns exec`: that mounts a new /sys over the cgroups.
    exec nsenter --net="$(netns_path "$index")" -- "$@"
}

cmd_on_host() {
    local verb=$1
    shift
    [[ $# -eq 1 ]] || die "$verb needs HOST: hosts.sh $verb demo-1"
    must_load_state
    lock_state
    local index
    index=$(parse_host "$1")
    case $verb in
        kill-host) kill_host "$index" ;;
        start-host)
            need_tools
            [[ -z $WANT_DISK ]] || ! host_exists "$index" ||
                die "$(host_name "$index") is on: hosts.sh kill-host $index before it gets a disk"
            prepare_host "$index"
            start_containerd "$index"
            wait_containerd "$index"
            start_dockerd "$index"
            wait_dockerd "$index"
            ;;
        cut | heal)
            host_exists "$index" || die "$(host_name "$index") is off: hosts.sh start-host $index"
            set_link "$index" "$verb"
            ;;
    esac
    say "$verb $(host_name "$index"): done"
}

cmd_processes() {
    must_load_state
    local index pid
    for index in $(if [[ $# -ge 1 ]]; then parse_host "$1"; else indices; fi); do
        for pid in $(host_pids "$index"); do
            describe_pid "$(host_name "$index")" "$pid"
        done
    done
}

main() {
    STATE=${PAASTA_HOSTS_STATE:-$(cd "$here/../.." && pwd)/.demo/hosts}
    WANT_SUBNET=10.77.0.0/24 WANT_LIVE_RESTORE=false WANT_DRIVER="" WANT_DISK=""
    local words=()
    while [[ $# -gt 0 ]]; do
        case $1 in
            --state) STATE=${2:?--state needs a directory}; shift 2 ;;
            --subnet) WANT_SUBNET=${2:?--subnet needs a network}; shift 2 ;;
            --driver) WANT_DRIVER=${2:?--driver needs a name}; shift 2 ;;
            --disk) WANT_DISK=${2:?--disk needs a number of MiB}; shift 2 ;;
            --live-restore) WANT_LIVE_RESTORE=true; shift ;;
            -h | --help) usage; return 0 ;;
            -*) die "unknown option $1; see hosts.sh --help" ;;
            *)
                words+=("$1"); shift
                # What follows the host of an exec belongs to the command.
                if [[ ${words[0]} == exec && ${#words[@]} -eq 2 ]]; then words+=("$@"); break; fi
                ;;
        esac
    done
    [[ ${#words[@]} -ge 1 ]] || { usage >&2; exit 2; }
    STATE=$(realpath -m "$STATE")
    local verb=${words[0]}
    set -- "${words[@]:1}"
    [[ $verb == help ]] || need_root
    check_disk "$verb"
    case $verb in
        up) cmd_up "$@" ;;
        down) cmd_down ;;
        status) cmd_status ;;
        exec) cmd_exec "$@" ;;
        kill-host | start-host | cut | heal) cmd_on_host "$verb" "$@" ;;
        processes) cmd_processes "$@" ;;
        help) usage ;;
        *) usage >&2; die "unknown command $verb" ;;
    esac
}

main "$@"
