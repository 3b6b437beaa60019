#!/bin/sh
# The switch of this machine: the kernel's where that has one, else in user space. Which is found out by trying.
set -eu
until ovs-vsctl --timeout=5 --no-wait init 2> /dev/null; do sleep 0.5; done
modprobe openvswitch 2> /dev/null || true
if [ -z "$(ovs-vsctl --no-wait --if-exists get Open_vSwitch . external_ids:daybreak-datapath 2> /dev/null)" ]; then
    # Before the switch runs: it reads this once. It changes nothing where the kernel forwards.
    ovs-vsctl --no-wait set Open_vSwitch . other_config:userspace-tso-enable=true
fi
(
    # When it runs: let it make a bridge of the kernel's kind, and look whether the device is there.
    until ovs-appctl --timeout=2 -t /run/openvswitch/ovs-vswitchd.ctl version > /dev/null 2>&1; do sleep 0.5; done
    kind=netdev
    if ovs-vsctl --timeout=10 --may-exist add-br daybreak-probe -- set Bridge daybreak-probe datapath_type=system \
        > /dev/null 2>&1 && [ -e /sys/class/net/daybreak-probe ]; then
        kind=system
    fi
    ovs-vsctl --timeout=10 --if-exists del-br daybreak-probe
    ovs-vsctl --timeout=10 set Open_vSwitch . "external_ids:daybreak-datapath=$kind"
    echo "the datapath is of the kind $kind"
) &
exec /opt/daybreak/keep.sh outlive ovs-vswitchd \
    ovs-vswitchd unix:/run/openvswitch/db.sock --pidfile=/run/openvswitch/ovs-vswitchd.pid \
    --unixctl=/run/openvswitch/ovs-vswitchd.ctl -vconsole:off -vfile:info --log-file=/var/log/openvswitch/ovs-vswitchd.log
