#!/bin/sh
# Run a program that takes requests, and end it without failing one.
#
# usage: drain FOLDER SIGNAL DETECTION LIMIT -- COMMAND [ARGUMENT...]
#
# On SIGTERM: FOLDER/draining appears, which turns the unit's health red; DETECTION seconds later, when nobody sends
# anything new, the program gets SIGNAL and has LIMIT seconds to end what it has. A SIGNAL with a slash is the line of a
# program that is run instead. The exit code is passed on. Other signals reach the program as they come. While
# FOLDER/alone is there DETECTION is nothing: there is nobody to send to instead.
# shellcheck disable=SC2317 # a trap calls functions, too
set -u
folder=$1 signal=$2 detection=$3 limit=$4
shift 5

# What an earlier drain left behind that was killed itself would still hold the ports.
if [ -s "$folder/pid" ]; then
    kill -s KILL -- "-$(cat "$folder/pid")" 2>/dev/null
fi
rm -f "$folder/draining" "$folder/pid"

runs() {
    kill -s 0 "$child" 2>/dev/null
}

# Wait until the program ends; a signal interrupts `wait`.
code=127
attend() {
    while :; do
        told=''
        wait "$child"
        now=$?
        # 127: it had ended when the last signal came.
        [ "$now" -eq 127 ] || code=$now
        [ -n "$told" ] || return
    done
}

# Nothing of the program outlives this one: not its workers, nor itself.
finish() {
    kill -s KILL -- "-$child" 2>/dev/null
    rm -f "$folder/pid"
    exit "$code"
}

leave() {
    trap '' TERM
    : >"$folder/draining"
    [ ! -e "$folder/alone" ] || detection=0
    while [ "$detection" -gt 0 ] && runs; do
        sleep 1
        detection=$((detection - 1))
    done
    # shellcheck disable=SC2086 # a program and its arguments
    case $signal in
        */*) $signal & ;;
        *) kill -s "$signal" "$child" 2>/dev/null ;;
    esac
    # Holds none of the outputs: whoever reads them waits for their end.
    (
        while [ "$limit" -gt 0 ] && runs; do
            sleep 1
            limit=$((limit - 1))
        done
        kill -s KILL -- "-$child"
    ) >/dev/null 2>&1 &
    attend
    finish
}

# Where there is such a setpriv (busybox has a lesser one), the kernel ends the program when this one is killed.
bound='setpriv --pdeathsig KILL --'
$bound true 2>/dev/null || bound=''
# Its own session: Pebble signals the whole process group, and the program must not hear of it yet.
# shellcheck disable=SC2086 # a command and its arguments
setsid $bound "$@" &
child=$!
echo "$child" >"$folder/pid"
trap leave TERM
for name in HUP INT QUIT USR1 USR2 WINCH; do
    # shellcheck disable=SC2064 # the name as it is now
    trap "told=yes; kill -s $name \"\$child\" 2>/dev/null" "$name"
done
attend
finish
