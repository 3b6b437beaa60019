#!/bin/sh
# Whether this member of the cluster is its writer: every proxy asks each member, and uses the one that says yes.
#
# usage: writer FOLDER
#
# The row daybreak.writer names the member; it is data of the cluster, so all members have the same. Who finds that the
# named one is no member any more, and is itself synced, takes its place; of two at the same time Galera lets one win. A
# member that comes back takes nothing.
set -u
# It leaves: it takes no role any more.
[ ! -e /run/daybreak/mariadb/draining ] || exit 1

ask() {
    mariadb --no-defaults --socket=/run/mysqld/mysqld.sock --connect-timeout=2 --batch --raw --skip-column-names "$@"
}

said=$(ask <"$1/daybreak-writer.sql" 2>&1)
case $said in
    *'ERROR 1049 '* | *'ERROR 1146 '*)
        ask <"$1/daybreak-tables.sql" || exit 1
        said=$(ask <"$1/daybreak-writer.sql" 2>&1)
        ;;
    # Of a lone server that starts nobody thinks that another one is the writer.
    *'ERROR 2002 '*) [ -e /run/daybreak/mariadb/alone ] && exit ;;
esac
case $said in *'ERROR '*) exit 1 ;; esac
# It is part of the cluster, and goes on from where it started.
rm -f /run/mysqld/position
echo "$said" | grep '^KILL ' | ask --force 2>/dev/null
echo "$said" | grep -qx writer
