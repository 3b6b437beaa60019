#!/bin/sh
# End this member without failing a request: the role of the writer moves first.
#
# usage: leave SETTINGS
#
# The proxies have seen the flag by now (`writer.sh`): nothing new comes. What is open ends; sessions that do nothing are
# closed, for their pools to open others; then the role is free. A third of a pod's grace is for this.
# shellcheck disable=SC2154 # variables of the settings
set -u
# shellcheck source=/dev/null
. "$1"
server=$(cat /run/daybreak/mariadb/pid)
rm -f /run/mysqld/position

ask() {
    mariadb --no-defaults --socket=/run/mysqld/mysqld.sock --connect-timeout=2 --batch --raw --skip-column-names "$@" 2>/dev/null
}

hand_over() {
    for _ in $(seq 50); do
        open=$(ask <"${1%/*}/daybreak-sessions.sql") || return
        [ -n "$open" ] || break
        echo "$open" | grep '^KILL' | ask --force
        sleep 0.2
    done
    ask -e "UPDATE daybreak.writer SET uuid = '', node = '' WHERE node = '$name'"
}

case $(ask -e "SHOW STATUS LIKE 'wsrep_cluster_size'; SELECT node FROM daybreak.writer" | tr '\t\n' '  ') in
    '')
        # While it waits for the others it hears no signal; and it has nothing that a restart does not find.
        kill -s TERM "$server"
        sleep 3
        exec kill -s KILL "$server"
        ;;
    'wsrep_cluster_size 1 '*) ;;
    *" $name ") hand_over "$1" ;;
    *)
        # The writer closes what comes through this unit's proxy, which leaves, too.
        for address in $(getent ahosts "$fqdn" | awk '{print $1}' | sort -u); do
            ask -e "REPLACE INTO daybreak.leaving VALUES ('$address', '$name', UTC_TIMESTAMP())"
        done
        ;;
esac
kill -s TERM "$server"
