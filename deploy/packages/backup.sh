#!/bin/sh
# Saves the state of the cluster into a directory, reads the file back, and keeps the newest ones.
# paasta-snapshot.timer runs it once a day on each coordinator.
#
#   PAASTA_BACKUP_DIR   the directory, made if it is not there (/var/backups/paasta)
#   PAASTA_BACKUP_KEEP  how many files stay, at least 1 (14)
#   PAASTA_BACKUP_TIMEOUT  how long to try, as 30s or 5m (5m)
set -eu

directory=${PAASTA_BACKUP_DIR:-/var/backups/paasta}
keep=${PAASTA_BACKUP_KEEP:-14}
case $keep in
'' | *[!0-9]* | 0)
    echo "PAASTA_BACKUP_KEEP is \"$keep\"; expected a number from 1: set it in a drop-in of paasta-snapshot.service" >&2
    exit 2
    ;;
esac

umask 077
mkdir -p "$directory"
file=$directory/$(date -u +%Y%m%dT%H%M%S.%3NZ).snapshot
paasta snapshot save "$file" --timeout "${PAASTA_BACKUP_TIMEOUT:-5m}"
# A file that cannot be read is no backup: it goes, and the older ones stay.
if ! paasta snapshot inspect "$file" >/dev/null; then
    rm -f "$file"
    echo "the new snapshot cannot be read back; the older ones in $directory stay" >&2
    exit 1
fi

# The names order by time.
ls "$directory" | grep '^[0-9]\{8\}T[0-9]\{6\}\.[0-9]\{3\}Z\.snapshot$' | sort -r | tail -n "+$((keep + 1))" |
    while read -r old; do
        rm -f "$directory/$old"
    done
