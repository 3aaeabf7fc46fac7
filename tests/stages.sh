#!/usr/bin/env bash
# Runs targets of the Makefile one after the other, as `make test` does. The output of each is kept
# in target/stages/TARGET.log, the first that fails ends the run, and the times are printed last.
#
#   tests/stages.sh lint unit e2e+sim+docs
#
# In e2e+sim+docs the first target waits for containers and processes most of its time. The others
# run beside it, one after the other, with the processor time that nothing else wants (SCHED_IDLE):
# only what measures no time may stand there.
# With job control each job is a process group, which ends with this script.
set -uom pipefail
trap 'for job in $(jobs -p); do kill -- "-$job" 2>/dev/null; done' EXIT
trap 'exit 130' INT TERM

cd "$(dirname "${BASH_SOURCE[0]}")/.."
logs=${CARGO_TARGET_DIR:-target}/stages
mkdir -p "$logs"
rm -f "$logs"/*

# Runs one target; what precedes the target's name is put before make.
run() {
    local target=${*: -1} begin=$SECONDS status
    "${@:1:$#-1}" "${MAKE:-make}" --no-print-directory "$target" >"$logs/$target.log" 2>&1
    status=$?
    printf '%-10s %5d s   exit %d\n' "$target" "$((SECONDS - begin))" "$status" >>"$logs/times"
    return "$status"
}

beside() {
    local target
    # All of them in the process group of this job.
    set +m
    for target in "$@"; do
        run chrt --idle 0 "$target" || return
    done
}

# Ends the run when a target has failed.
judge() {
    (($1 != 0)) || return 0
    cat "$logs/times"
    printf '== failed; the output of each target is in %s\n' "$logs"
    exit "$1"
}

for stage in "$@"; do
    IFS=+ read -ra targets <<<"$stage"
    printf '== %s\n' "${targets[*]}"
    beside "${targets[@]:1}" &
    side=$!
    : >"$logs/${targets[0]}.log"
    tail -n +1 -F "$logs/${targets[0]}.log" 2>/dev/null &
    shown=$!
    run env "${targets[0]}"
    front=$?
    sleep 1
    kill -- "-$shown"
    wait "$shown" 2>/dev/null
    judge "$front"
    wait "$side"
    status=$?
    for target in "${targets[@]:1}"; do
        if [[ -f $logs/$target.log ]]; then
            printf '== %s, beside %s\n' "$target" "${targets[0]}"
            cat "$logs/$target.log"
        fi
    done
    judge "$status"
done
cat "$logs/times"
printf '%-10s %5d s\n' all "$SECONDS"
