#!/usr/bin/env bash
# Prints what a machine holds that hosts.sh could leave behind, one thing per line, sorted:
# namespaces, links, mounts, loop devices, cgroups, firewall rules, processes, sockets, claims.
# Compare the output of before `hosts.sh up` with that of after `hosts.sh down`.
set -euo pipefail

# The kernel's number of each named namespace.
declare -A names=()
for path in /run/netns/*; do
    [[ ! -e $path ]] || names[$(stat -L -c %i "$path")]=${path##*/}
done

{
    find /run/netns -mindepth 1 -maxdepth 1 -printf 'netns %f\n' 2>/dev/null || true
    ip -o link show | sed -E 's/^[0-9]+: ([^:@]+).*/link \1/'
    awk '{print "mount", $5}' /proc/self/mountinfo
    cat /sys/block/loop*/loop/backing_file 2>/dev/null | sed 's/^/loop /' || true
    awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/mounts |
        while read -r root; do find "$root" -mindepth 1 -type d -printf 'cgroup %p\n' 2>/dev/null || true; done
    for table in filter nat; do
        iptables -w 30 -t "$table" -S | sed "s/^/iptables $table /"
    done
    find /run/containerd/s -type s -printf 'socket %p\n' 2>/dev/null || true
    find /run/paasta-hosts -type f -printf 'claim %p\n' 2>/dev/null || true
    own=$(stat -L -c %i /proc/self/ns/net)
    ps -ww -eo pid=,ppid=,stat=,netns=,args= | while read -r pid ppid stat netns args; do
        # Kernel threads, this script and what it runs are of no interest.
        [[ $pid != 2 && $ppid != 2 && $pid != "$$" && $ppid != "$$" && $ppid != "$BASHPID" ]] || continue
        # What is dead and left to init, init will reap.
        [[ $stat != Z* || $ppid != 1 ]] || continue
        where=root groups=()
        [[ $netns == "$own" ]] || where=${names[$netns]:-$netns}
        mapfile -t groups 2>/dev/null <"/proc/$pid/cgroup" || true
        printf 'process %s netns=%s %s %s\n' "$pid" "$where" \
            "$(printf '%s\n' "${groups[@]}" | grep -m 1 paasta-hosts || true)" "$args"
    done
} | sort
