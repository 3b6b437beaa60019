#!/bin/sh
# The database of Open vSwitch on this machine.
set -eu
if [ ! -e /etc/openvswitch/conf.db ]; then
    ovsdb-tool create /etc/openvswitch/new.db /usr/share/openvswitch/vswitch.ovsschema
    mv /etc/openvswitch/new.db /etc/openvswitch/conf.db
elif [ "$(ovsdb-tool needs-conversion /etc/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema)" = yes ] &&
    ! ovs-vsctl --timeout=2 --no-wait init 2> /dev/null; then
    # Of an older release, and nobody serves it.
    ovsdb-tool convert /etc/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema
fi
exec /opt/daybreak/keep.sh outlive ovsdb-server \
    ovsdb-server /etc/openvswitch/conf.db --remote=punix:/run/openvswitch/db.sock \
    --remote=db:Open_vSwitch,Open_vSwitch,manager_options --pidfile=/run/openvswitch/ovsdb-server.pid \
    --unixctl=/run/openvswitch/ovsdb-server.ctl -vconsole:off -vfile:info --log-file=/var/log/openvswitch/ovsdb-server.log
