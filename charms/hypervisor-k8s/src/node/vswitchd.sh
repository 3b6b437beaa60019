#!/bin/sh
# The switch of this machine: the kernel's where that has one, else in user space. Which is found out by trying.
set -eu
until ovs-vsctl --timeout=5 --no-wait init 2> /dev/null; do sleep 0.5; done
modprobe openvswitch 2> /dev/null || true
if [ -z "$(ovs-vsctl --no-wait --if-exists get Open_vSwitch . external_ids:daybreak-datapath 2> /dev/null)" ]; then
    # Before the switch runs: it reads this once. It changes nothing where the kernel forwards.
    ovs-vsctl --no-wait set Open_vSwitch . other_config:userspace-tso-enable=true
fi

# A switch in user space makes a device promiscuous by writing all of its flags, as it read them a moment before
# (lib/netdev-linux.c, set_flags). Where libvirt has brought a server's device up in between it is down again, and the
# server has no network. So one that is down at two looks is brought up.
see_to_devices() {
    before=' '
    while sleep 1; do
        down=' '
        for flags in /sys/class/net/tap*/flags; do
            # One that goes meanwhile has none.
            read -r value 2> /dev/null < "$flags" || continue
            [ $((value & 1)) = 0 ] || continue
            device=${flags%/flags} device=${device##*/}
            down="$down$device "
            case $before in
                *" $device "*) ip link set "$device" up && echo "$device was down: brought up" ;;
            esac
        done
        before=$down
    done
}

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
    [ "$kind" = system ] || see_to_devices
) &
exec /opt/daybreak/keep.sh outlive ovs-vswitchd \
    ovs-vswitchd unix:/run/openvswitch/db.sock --pidfile=/run/openvswitch/ovs-vswitchd.pid \
    --unixctl=/run/openvswitch/ovs-vswitchd.ctl -vconsole:off -vfile:info --log-file=/var/log/openvswitch/ovs-vswitchd.log
