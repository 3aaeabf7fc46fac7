# A small disk of its own under a host's dockerd and containerd, to fill it without filling the
# machine's. Sourced by hosts.sh.

DISK_MIB_MIN=128
DISK_MIB_MAX=4096

check_disk() {
    [[ -z $WANT_DISK ]] && return 0
    [[ $1 == start-host ]] || die "--disk is for start-host: hosts.sh start-host 2 --disk 384"
    [[ $WANT_DISK =~ ^[0-9]+$ && $WANT_DISK -ge $DISK_MIB_MIN && $WANT_DISK -le $DISK_MIB_MAX ]] ||
        die "disk of '$WANT_DISK' MiB: use $DISK_MIB_MIN to $DISK_MIB_MAX"
    command -v mkfs.ext4 >/dev/null || die "missing: e2fsprogs, for --disk"
}

# insert_disk INDEX: a host that boots gets the disk that was asked for, empty, or the one that it
# had. It is a file beside the data, so a power loss keeps it and down removes it.
insert_disk() {
    local dir
    dir=$(host_dir "$1")
    if [[ -n $WANT_DISK ]]; then
        rm -f "$dir/disk.img"
        truncate -s "${WANT_DISK}M" "$dir/disk.img"
        # No blocks set aside for root: full is full, for dockerd too.
        mkfs.ext4 -q -m 0 "$dir/disk.img"
    fi
    [[ ! -f $dir/disk.img ]] || mount -o loop "$dir/disk.img" "$dir/data"
}
