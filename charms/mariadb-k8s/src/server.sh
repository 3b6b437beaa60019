#!/bin/sh
# Start MariaDB as a member of a Galera cluster.
#
# usage: server SETTINGS
#
# SETTINGS says, in shell: name and fqdn of this member, peers (names of the others). Before the server starts, its position
# goes into /run/mysqld/position: "UUID SEQNO"; "none" without data of a cluster; "partial" for a copy that was never
# completed. It is there until the server is part of a cluster, or ends.
# A server joins the others. It makes a cluster of its own where its data were never part of one, where it is to be alone
# and its data say that it was when it ended, and once for each file /run/mysqld/bootstrap. While there is a file /run/mysqld/hold it does not start.
# shellcheck disable=SC2154 # variables of the settings
set -u
# shellcheck source=/dev/null
. "$1"
data=/var/lib/mysql/data
run=/run/mysqld
config=/etc/mysql/daybreak.cnf
state=$data/grastate.dat
view=$data/gvwstate.dat

field() {
    sed -n "s/^$1: *//p" "$state" 2>/dev/null
}

members() {
    grep -c '^member:' "$view" 2>/dev/null
}

# grastate.dat has the position after a clean end only; after a crash the storage engine knows it.
position() {
    case $(field uuid) in
        '') echo none && return ;;
        00000000-*) echo partial && return ;;
    esac
    if [ "$(field seqno)" != -1 ]; then
        echo "$(field uuid) $(field seqno)"
        return
    fi
    # Without its port: proxies take who listens for who serves, until the check of the writer has failed twice.
    found=$(mariadbd --defaults-file="$config" --wsrep-recover --skip-networking --wsrep-cluster-address=gcomm:// 2>&1 | sed -n 's/.*Recovered position: *//p' | tail -n 1)
    case $found in
        '' | 00000000-*) echo "$(field uuid) -1" ;;
        *) echo "${found%:*} ${found##*:}" ;;
    esac
}

# Whether nobody else can have anything newer.
newest() {
    case $here in
        # Only the founder's data are made; the others' folder is empty until they have joined.
        none) [ -d "$data/mysql" ] ;;
        partial) false ;;
        *) [ -e /run/daybreak/mariadb/alone ] && { [ "$(field safe_to_bootstrap)" = 1 ] || [ "$(members)" = 1 ]; } ;;
    esac
}

# Whether there is a cluster: members that came together just now are seen to serve a few seconds later, and none can come
# together without this one meanwhile.
someone_serves() {
    sleep 6
    for peer in $peers; do
        printf 'GET /v1/health?names=online HTTP/1.0\r\n\r\n' |
            socat -t 3 - "TCP:$peer:38813,connect-timeout=2" 2>/dev/null | grep -q '^HTTP/1.* 200 ' && return
    done
    false
}

# What a killed state transfer left would hold its port.
pkill -KILL -f '[w]srep_sst_|[m]ariadb-backup|[m]bstream|[s]ocat' 2>/dev/null
rm -f "$run/position" "$run/bootstrapped"
# A loss of power may leave half of it, at which Galera ends.
if [ -e "$view" ] && ! grep -q '^#vwend' "$view"; then
    rm -f "$view"
fi
here=$(position)
echo "$here" >"$run/position"
while [ -e "$run/hold" ]; do
    cp "$run/hold" "$run/held"
    sleep 1
done
rm -f "$run/held"
set -- --defaults-file="$config"
case $here in
    none | partial | *' -1') ;;
    *) set -- "$@" --wsrep-start-position="${here% *}:${here##* }" ;;
esac
if [ -e "$run/bootstrap" ] && someone_serves; then
    rm -f "$run/bootstrap"
fi
if [ -e "$run/bootstrap" ]; then
    mv "$run/bootstrap" "$run/bootstrapped"
elif newest; then
    echo alone >"$run/bootstrapped"
fi
if [ -e "$run/bootstrapped" ]; then
    rm -f "$view"
    [ ! -e "$state" ] || sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' "$state"
    set -- "$@" --wsrep-cluster-address=gcomm:// --wsrep-new-cluster
else
    # With a view of its own alone Galera would go on without asking anybody.
    [ "$(members)" != 1 ] || rm -f "$view"
    # shellcheck disable=SC2086 # a list of names
    set -- "$@" --wsrep-cluster-address="gcomm://$(echo $peers | tr ' ' ',')"
fi
exec mariadbd "$@"
