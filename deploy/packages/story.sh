#!/usr/bin/env bash
# The packages on machines with systemd: three masters and two slaves are booted, installed by the
# commands of docs/operate/install.md, given a service with real containers, and then each of them is
# rebooted, stopped, upgraded, rolled back and removed. Each step prints which containers stayed
# and how many requests failed; what must not happen ends the run.
#
#   make dist && deploy/packages/story.sh      (root)
#
# PAASTA_STORY_CACHE has the Debian tree that the machines are copies of (target/story).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$here/../.." && pwd)
CACHE=${PAASTA_STORY_CACHE:-$ROOT/target/story}
DEBS=${PAASTA_STORY_DEBS:-$ROOT/target/dist/out}
WORK=$(mktemp -d /var/tmp/paasta-story.XXXXXX)
COMMANDS=0

say() { printf '%s\n' "$*"; }
step() { printf '\n[%3d s] %s\n' "$SECONDS" "$*"; }
die() { printf 'story.sh: %s\n' "$*" >&2; exit 1; }

# shellcheck source=story/machines.sh
source "$here/story/machines.sh"
# shellcheck source=story/service.sh
source "$here/story/service.sh"

finish() {
    local code=$?
    set +e
    if ((code != 0)); then
        local name
        for name in "${MACHINES[@]}"; do
            [[ -s $WORK/$name.pid ]] && kill -0 "$(<"$WORK/$name.pid")" 2>/dev/null || continue
            say "--- $name: the end of the journal"
            on "$name" journalctl --no-pager -n 25 -u paasta-coordinator -u paasta-agent
        done
    fi
    traffic_end
    service_down
    machines_down
    rm -rf "$WORK"
    exit "$code"
}

need() {
    [[ $(id -u) == 0 ]] || die "run it as root"
    ls "$DEBS"/paasta-agent_*.deb >/dev/null 2>&1 || die "there are no packages in $DEBS: run make dist first"
    local missing=() pair
    for pair in systemd-nspawn:systemd-container debootstrap:debootstrap docker-registry:docker-registry busybox:busybox-static; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    ((${#missing[@]} == 0)) || die "missing: apt-get install ${missing[*]}"
}

# typed MACHINE CMD...: a command of the installation, counted and shown.
typed() {
    COMMANDS=$((COMMANDS + 1))
    local name=$1
    shift
    say "  $name# $*"
    on "$name" sh -c "$*" >"$WORK/said" 2>&1 || { cat "$WORK/said"; die "it failed on $name"; }
}

token() { grep -o "PAASTA1-$1-[a-z0-9-]*" "$WORK/said" | head -n 1; }

write_configuration() {
    local name id=0
    for name in m1 m2 m3; do
        id=$((id + 1))
        mkdir -p "$WORK/$name/etc/paasta"
        cat >"$WORK/$name/etc/paasta/paasta.yaml" <<YAML
cluster: main
docker_registry: $GATEWAY:5000
coordinator: {node_id: $id, listen: "${ADDRESS[$name]}:7401", lost_after_ms: 10000}
cli: {coordinators: ["$SUBNET.11:7401", "$SUBNET.12:7401", "$SUBNET.13:7401"]}
YAML
    done
    for name in s1 s2; do
        mkdir -p "$WORK/$name/etc/paasta"
        cat >"$WORK/$name/etc/paasta/paasta.yaml" <<YAML
cluster: main
docker_registry: $GATEWAY:5000
agent: {host_id: story-$name, coordinators: ["$SUBNET.11:7401", "$SUBNET.12:7401", "$SUBNET.13:7401"]}
YAML
    done
}

install_all() {
    step "installing three masters and two slaves"
    local name id=1 coordinators agents
    typed m1 "dpkg -i /debs/paasta-common_*.deb /debs/paasta_*.deb /debs/paasta-coordinator_*.deb"
    typed m1 "paasta-coordinator init --advertise $SUBNET.11:7401"
    coordinators=$(token c) agents=$(token a)
    typed m1 "systemctl start paasta-coordinator"
    for name in m2 m3; do
        id=$((id + 1))
        typed "$name" "dpkg -i /debs/paasta-common_*.deb /debs/paasta_*.deb /debs/paasta-coordinator_*.deb"
        typed "$name" "paasta-coordinator join --token $coordinators $SUBNET.11:7401 && systemctl start paasta-coordinator"
        typed m1 "paasta coordinator add $id=${ADDRESS[$name]}:7401 && paasta coordinator promote $id"
    done
    for name in s1 s2; do
        typed "$name" "dpkg -i /debs/paasta-common_*.deb /debs/paasta-agent_*.deb"
        typed "$name" "paasta-agent join --token $agents $SUBNET.11:7401 && systemctl start paasta-agent"
    done
    say "$COMMANDS commands, 3 machines with a coordinator and 2 with an agent"
}

# Each machine in turn; the containers of the others, and requests to them, must not notice.
reboot_each() {
    local name
    for name in m2 m1; do
        measure "master $name is rebooted" 0 "$(containers)" -- reboot_machine "$name"
    done
    step "slave s2 is rebooted"
    local before
    before=$(containers_of s1)
    reboot_machine s2
    healthy 4
    [[ $(containers_of s1) == "$before" ]] || say "the replicas of s2 were replaced on s1 meanwhile"
    grep -qF "$(head -n 1 <<<"$before")" <<<"$(containers_of s1)" || die "s1 lost a container"
}

reboot_machine() {
    power_off "$1"
    boot "$1"
    wait_booted "$1"
}

stop_and_start_all() {
    stop_all() {
        local name
        for name in s1 s2; do on "$name" systemctl stop paasta-agent; done
        for name in m1 m2 m3; do on "$name" systemctl stop paasta-coordinator; done
        sleep 5
        for name in m1 m2 m3; do on "$name" systemctl start paasta-coordinator; done
        for name in s1 s2; do on "$name" systemctl start paasta-agent; done
    }
    measure "everything of paasta is stopped and started" 0 "$(containers)" -- stop_all
}

# The same programs with a later version: what dpkg does is what counts here.
make_next() {
    local deb
    mkdir -p "$WORK/next"
    for deb in "$DEBS"/paasta{,-agent,-coordinator,-common}_*.deb; do
        rm -rf "$WORK/unpacked"
        dpkg-deb -R "$deb" "$WORK/unpacked"
        sed -i 's/^Version: .*/&+next/; s/\(paasta-common (= [^)]*\))/\1+next)/' "$WORK/unpacked/DEBIAN/control"
        dpkg-deb -Zgzip -b "$WORK/unpacked" "$WORK/next/" >/dev/null
    done
    local name
    for name in "${MACHINES[@]}"; do
        mkdir -p "$WORK/$name/root/next"
        cp "$WORK"/next/*.deb "$WORK/$name/root/next/"
    done
}

# change DIRECTORY: installs what is there, coordinators first, one at a time.
change() {
    local from=$1 name
    for name in m1 m2 m3; do
        on "$name" sh -c "dpkg -i $from/paasta-common_*.deb $from/paasta_*.deb $from/paasta-coordinator_*.deb" >/dev/null
        on "$name" sh -c 'until paasta metastatus >/dev/null 2>&1; do sleep 0.3; done'
    done
    for name in s1 s2; do
        on "$name" sh -c "dpkg -i $from/paasta-common_*.deb $from/paasta-agent_*.deb" >/dev/null
    done
}

upgrade_and_back() {
    make_next
    local pid
    pid=$(on s1 systemctl show -P MainPID paasta-agent)
    measure "everything is upgraded" 0 "$(containers)" -- change /root/next
    [[ $(on s1 systemctl show -P MainPID paasta-agent) != "$pid" ]] || die "the upgrade did not restart the agent"
    measure "everything is rolled back" 0 "$(containers)" -- change /debs
}

remove() {
    step "the packages are removed, and purged"
    local before
    before=$(containers_of s1)
    on s1 sh -c 'apt-get -q -y remove paasta-agent' >/dev/null 2>&1 || die "paasta-agent cannot be removed"
    [[ $(containers_of s1) == "$before" ]] || die "removing the agent touched containers"
    on s1 sh -c 'apt-get -q -y purge paasta-agent' >/dev/null 2>&1
    on s1 test -d /var/lib/paasta-agent || die "the ledger is gone after a purge"
    on m3 sh -c 'apt-get -q -y purge paasta-coordinator' >/dev/null 2>&1
    on m3 test -d /var/lib/paasta-coordinator || die "the log of the cluster is gone after a purge"
    say "containers and data stayed"
}

need
trap finish EXIT
trap 'exit 130' INT TERM
base
bridge_up
step "booting ${MACHINES[*]}"
for name in "${MACHINES[@]}"; do
    namespace_up "$name"
    tree "$name"
done
write_configuration
for name in "${MACHINES[@]}"; do boot "$name"; done
for name in "${MACHINES[@]}"; do wait_booted "$name"; done
service_up
install_all
deploy
reboot_each
stop_and_start_all
upgrade_and_back
remove
step "done"
