#!/usr/bin/env bash
# `make demo`: a whole cluster on this machine, from nothing to a version bounced by crossover.
#
# As root: three hosts (hosts.sh), a registry, three coordinators, an agent on each host. Otherwise,
# or with --one-host: the machine's own dockerd is the one host, and everything is on loopback. The
# daemons get their certificates by `init` and `join`, as on real machines.
# All that is made lies in .demo; `down` ends what was started and removes it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=demo/state.sh
source "$here/demo/state.sh"
# shellcheck source=demo/machines.sh
source "$here/demo/machines.sh"
# shellcheck source=demo/daemons.sh
source "$here/demo/daemons.sh"
# shellcheck source=demo/release.sh
source "$here/demo/release.sh"
# shellcheck source=demo/watch.sh
source "$here/demo/watch.sh"

usage() {
    cat <<'TEXT'
A paasta cluster on this machine, with the example service on it.

  demo.sh up [--one-host]   bring it up and show a deploy; on one that is up: start again whatever
                            does not run any more, and deploy nothing
  demo.sh deploy WORD       commit, build, push and deploy a further version, whose answers begin
                            with WORD, and watch the bounce
  demo.sh env [--docker]    print the lines that set PATH, the coordinators, the administrator's
                            certificate, and where its yelpsoa-configs and git repositories are:
                            eval "$(deploy/demo/demo.sh env)"
                            The certificate is valid for 12 h; demo.sh up renews it.
                            With --docker also the dockerd that may push to its registry
  demo.sh down              end everything and remove every trace

Three hosts need root (namespaces, dockerd); without root, or with --one-host, the machine's own
dockerd is the only host. Everything lies in .demo, or in $PAASTA_DEMO_STATE. Where 10.77.0.0/24 is
taken, set PAASTA_DEMO_SUBNET; for a second demo beside the first also PAASTA_DEMO_PREFIX.
TEXT
}

cmd_up() {
    if [[ -f $DEMO/ready ]]; then
        load_demo
        repair
        say "the demo is up; nothing new was deployed (demo.sh deploy WORD does that)"
        wait_healthy "$HEALTHY_SECONDS"
        paasta status -s hello || true
        what_next
        return
    fi
    begin "$1"
    step "checking what is needed"
    need_tools_of_demo
    step "building the binaries"
    build
    bring_up_machines
    write_config
    make_service
    start_coordinators
    start_agents
    step "deploying the first version"
    release hello
    wait_healthy "$HEALTHY_SECONDS"
    paasta status -s hello || true
    bounce_to bonjour
    touch "$DEMO/ready"
    paasta status -s hello -v || true
    what_next
}

cmd_deploy() {
    [[ -f $DEMO/ready ]] || die "the demo is not up: deploy/demo/demo.sh up"
    load_demo
    make_cluster
    bounce_to "$1"
    paasta status -s hello -i main || true
}

# A version that differs in its answers, and a look at how the replicas change.
bounce_to() {
    step "deploying a version whose answers begin with '$1': a crossover bounce"
    local old
    old=$(desired_app)
    [[ -n $old ]] || die "paasta status tells nothing of hello.main: deploy/demo/demo.sh up repairs the demo"
    release "$1"
    watch_bounce "$old" "$BOUNCE_SECONDS"
}

cmd_down() {
    if [[ ! -d $DEMO ]]; then say "nothing is up in $DEMO"; return; fi
    load_demo_if_any
    end_daemons
    take_down_machines
    # Of the directory itself only what the demo makes; tests keep their things beside it.
    rm -rf --one-file-system "$DEMO"/{config,git,soa,run,logs,data,admin,context}
    rm -f "$DEMO"/{ready,mode,started-dockerd,.lock}
    rmdir "$DEMO" 2>/dev/null || true
    say "the demo is gone"
}

what_next() {
    local url
    url=$(status_json | replica_urls | head -n 1)
    cat <<TEXT

The cluster stays up. Try next:
  eval "\$($DEMO_SH env)"           # sets PATH, the coordinators, your certificate
  paasta status -s hello -v         # which replica runs where
  paasta why hello.main             # what is waited for
  paasta metastatus                 # coordinators, hosts, resources
  curl ${url:-http://ADDRESS:PORT/}
  $EDIT_HINT   # change instances: 3 to 5, then paasta status
  $DEMO_SH deploy ciao              # one more version
$(host_hints)
  make demo-down                    # end all of it

The dashboard: http://$GATEWAY:7101/
TEXT
}

cmd_env() {
    load_demo
    # shellcheck disable=SC2016 # the shell that evaluates it expands it
    printf 'export PATH=%q:"$PATH"\n' "$BIN"
    printf 'export PAASTA_COORDINATORS=%q\n' "$COORDINATORS"
    printf 'export PAASTA_TLS_CA=%q\n' "$DEMO/admin/ca.pem"
    printf 'export PAASTA_TLS_CERT=%q\n' "$DEMO/admin/certificate.pem"
    printf 'export PAASTA_TLS_KEY=%q\n' "$DEMO/admin/key.pem"
    printf 'export PAASTA_SYSTEM_CONFIG_DIR=%q\n' "$DEMO/config"
    printf 'export PAASTA_DEMO_SOA=%q\n' "$DEMO/soa"
    printf 'export PAASTA_DEMO_GIT=%q\n' "$DEMO/git"
    [[ $1 != yes ]] || printf 'export DOCKER_HOST=unix://%q\n' "$(docker_socket 1)"
}

main() {
    local verb=${1:-} one_host=no
    shift || true
    case $verb in
        up)
            [[ ${1:-} != --one-host ]] || { one_host=yes; shift; }
            [[ $# -eq 0 ]] || die "unknown argument $1; use demo.sh up [--one-host]"
            lock_demo
            cmd_up "$one_host"
            ;;
        deploy)
            [[ $# -eq 1 && $1 =~ ^[A-Za-z0-9]{1,20}$ ]] || die "use demo.sh deploy WORD (letters and digits)"
            lock_demo
            cmd_deploy "$1"
            ;;
        env)
            [[ $# -eq 0 || $# -eq 1 && $1 == --docker ]] || die "unknown argument $1; use demo.sh env [--docker]"
            cmd_env "$([[ $# -eq 0 ]] || printf yes)"
            ;;
        down) lock_demo; cmd_down ;;
        -h | --help | help) usage ;;
        *) usage >&2; exit 2 ;;
    esac
}

main "$@"
