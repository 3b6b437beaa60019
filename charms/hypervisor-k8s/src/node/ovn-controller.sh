#!/bin/sh
# OVN's agent of this node. Ended by a signal it leaves its chassis and all flows as they are; so does the next one, until
# it knows what they have to be.
set -eu
# shellcheck disable=SC1091 # the charm renders it
. /etc/daybreak/settings
key=external_ids:daybreak-datapath
until datapath=$(ovs-vsctl --timeout=4 get Open_vSwitch . "$key" 2> /dev/null); do sleep 0.5; done
datapath=$(echo "$datapath" | tr -d '"')

# The node's address in the network of the tunnels.
encap=$ADDRESS
if [ -n "$TUNNEL_NETWORK" ]; then
    encap=$(ip -o -4 address show | awk '{ print $4 }' | python3 -c '
import ipaddress, sys
network = ipaddress.ip_network(sys.argv[1])
found = [line.strip().partition("/")[0] for line in sys.stdin]
print(next((text for text in found if ipaddress.ip_address(text) in network), ""))' "$TUNNEL_NETWORK")
    [ -n "$encap" ] || { echo "$NODE has no address in $TUNNEL_NETWORK (option tunnel-network)" >&2; exit 1; }
fi

mappings=
for mapping in $BRIDGES; do
    network=${mapping%%:*} rest=${mapping#*:}
    bridge=${rest%%:*} interface=
    case $rest in *:*) interface=${rest#*:} ;; esac
    ovs-vsctl --may-exist add-br "$bridge" -- set Bridge "$bridge" "datapath_type=$datapath"
    if [ -n "$interface" ]; then
        [ -e "/sys/class/net/$interface" ] || { echo "$NODE has no interface $interface (option bridges)" >&2; exit 1; }
        ovs-vsctl --may-exist add-port "$bridge" "$interface"
        ip link set "$interface" up
    fi
    ip link set "$bridge" up
    mappings=$mappings${mappings:+,}$network:$bridge
done

options=
[ "$GATEWAY" = false ] || options=enable-chassis-as-gw
# shellcheck disable=SC2153 # ENCAP is one of the settings
ovs-vsctl set Open_vSwitch . "external_ids:system-id=$NODE" "external_ids:hostname=$NODE" \
    "external_ids:ovn-remote=\"$SOUTHBOUND\"" "external_ids:ovn-encap-type=$ENCAP" "external_ids:ovn-encap-ip=$encap" \
    external_ids:ovn-bridge=br-int "external_ids:ovn-bridge-datapath-type=$datapath" \
    "external_ids:ovn-bridge-mappings=\"$mappings\"" "external_ids:ovn-cms-options=\"$options\"" \
    external_ids:ovn-ofctrl-wait-before-clear=8000
exec ovn-controller unix:/run/openvswitch/db.sock --private-key=/etc/daybreak/tls.key \
    --certificate=/etc/daybreak/tls.crt --ca-cert=/etc/daybreak/ca.pem --pidfile=/run/ovn/ovn-controller.pid \
    --unixctl=/run/ovn/ovn-controller.ctl -vconsole:info -vsyslog:off
