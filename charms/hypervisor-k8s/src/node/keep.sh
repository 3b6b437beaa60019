#!/bin/sh
# usage: keep.sh outlive|replace NAME PROGRAM [ARGUMENT...]
#
# Keeps a daemon of this machine running from a container that may end at any time. The daemon is in a control group of
# the machine, outside the container's, because a container's end is the end of every process in its groups; in the
# machine's process namespace, for the same reason; and its output goes to a file, because the container's pipe ends too.
#
#   outlive   the daemon goes on when the container ends; the next container watches the one that runs
#   replace   the daemon ends with the container; the next container ends one that is left and starts its own
#
# A daemon that ends is started again, after a second if it did not run for ten.
set -u
how=$1 name=$2
shift 2
state=/run/daybreak
group=daybreak-hypervisor
record=$state/$name.pid
mkdir -p "$state"

# When a process began, in ticks since the machine's start; empty when it is gone. With its number that is its identity.
began() {
    [ -r "/proc/$1/stat" ] || return 0
    sed 's/^.*) //' "/proc/$1/stat" 2> /dev/null | awk '$1 != "Z" && $1 != "X" { print $20 }'
}

# The number of the daemon that runs, if one does.
running() {
    [ -s "$record" ] || return 1
    read -r pid since < "$record" || return 1
    [ -n "$since" ] && [ "$(began "$pid")" = "$since" ]
}

# Leave the container's control groups. Without that nothing here would outlive it, so a failure ends the container.
leave() {
    top=/sys/fs/cgroup
    if [ -e $top/cgroup.controllers ]; then
        mkdir -p $top/$group && echo 0 > $top/$group/cgroup.procs
        return
    fi
    for hierarchy in "$top"/*/; do
        [ -e "$hierarchy/cgroup.procs" ] || continue
        place=$hierarchy$group
        mkdir -p "$place" || return 1
        for file in cpuset.cpus cpuset.mems; do
            # A new set has no processors and takes no process.
            if [ -e "$place/$file" ] && [ -z "$(cat "$place/$file")" ]; then cat "$hierarchy/$file" > "$place/$file"; fi
        done
        echo 0 > "$place/cgroup.procs" || return 1
    done
}

start() {
    log=/var/log/daybreak/$name.log
    mkdir -p "${log%/*}"
    rm -f "$record"
    # Two processes deep, so that the machine's own process 1 becomes its parent and collects it.
    (
        (
            leave || exit 1
            # A container's processes are the first to go when memory is short; those of servers must not be.
            echo 0 2> /dev/null > /proc/self/oom_score_adj
            # shellcheck disable=SC2016 # the inner shell expands it
            exec setsid sh -c '
                record=$1
                shift
                sed "s/^.*) //" /proc/$$/stat | awk -v pid=$$ "{ print pid, \$20 }" > "$record.new"
                mv "$record.new" "$record"
                exec "$@"' keep "$record" "$@" < /dev/null >> "$log" 2>&1
        ) &
    )
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        running && return
        sleep 0.2
    done
    tail -n 5 "$log" >&2
    return 1
}

end() {
    running || return 0
    kill -TERM "$pid" 2> /dev/null
    for _ in $(seq 1 50); do
        running || return 0
        sleep 0.2
    done
    kill -KILL "$pid" 2> /dev/null
    sleep 0.2
}

leaving() {
    [ "$how" = outlive ] || end
    exit 0
}
trap leaving TERM INT

[ "$how" = outlive ] || end
while :; do
    if running; then
        echo "$name runs as process $pid"
    else
        start "$@" || exit 1
        echo "$name was started as process $pid"
    fi
    before=$(date +%s)
    # In the background, because a shell hears a signal only between programs.
    tail --pid="$pid" -f /dev/null &
    wait $!
    running && continue
    echo "$name has ended" >&2
    [ $(($(date +%s) - before)) -ge 10 ] || sleep 1
done
