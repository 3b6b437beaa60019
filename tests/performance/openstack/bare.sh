#!/bin/sh
# The yardstick of a whole cloud: the programs of bundles/openstack.yaml from the same images, started by a plain shell script
# with nothing in between, up to the first server that has booted with an address and its metadata.
#
# One network namespace for all, one password, one unit, no TLS, no gateway, no checks, no restart of anything; everything
# runs as root. One step follows the other, as a person would do it; APIs start beside each other, with as many processes
# and threads as the charms give them.
#
# usage: bare.sh GUEST           prints a line for each step and the total in seconds, then the memory of each service
#                                when it has been idle for IDLE seconds (60), and removes all of it again
#        KEEP=1 bare.sh GUEST    leaves it running; `bare.sh remove` ends it
#        NAME=other bare.sh ...  beside one that runs (default: db-yard)
#
# GUEST is the disk of the test guest: python -m daybreak_images guest --output FILE
# Needs root and the images (`./daybreak bootstrap --bundle openstack` builds them).
#
# Commands for the containers stand in single quotes: their shells expand them.
# shellcheck disable=SC2016
set -eu

here=$(cd "$(dirname "$0")" && pwd)
home=$(cd "$here/../../.." && pwd)
programs=${PROGRAMS:-$home/.daybreak/venv/bin}
registry=localhost:32000/daybreak
release=2026.1
name=${NAME:-db-yard}
work=${WORK:-/var/tmp/$name}
host=node1
external=172.31.99
etc=$work/etc
password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
# What the bundle does not have is not started here either.
volumes=no
! grep -q '^  cinder-volume:' "$home/bundles/openstack.yaml" || volumes=yes

eval "$("$programs/daybreak-engine" podman-env)"

now() { cut -d' ' -f1 /proc/uptime; }
step() {
    later=$(now)
    echo "$1 $last $later $start" | awk '{ printf "%-22s %6.2f  %6.2f\n", $1, $3 - $2, $3 - $4 }'
    last=$later
}
# run NAME [OPTION...] IMAGE COMMAND...: a container in our network namespace
run() {
    container=$1
    shift
    podman run --name "$name-$container" --pull=never --network "ns:/run/netns/$name" --hostname "$host" \
        --add-host "$host:127.0.0.1" "$@"
}
# service NAME FOLDER IMAGE OPTIONS COMMAND: a container that stays, with the configuration of a project and its state
service() {
    container=$1 folder=$2 image=$3 options=$4 command=$5
    mkdir -p "$work/lib/$folder"
    # shellcheck disable=SC2086 # a list of options
    run "$container" --detach --volume "$etc/$folder:/etc/$folder" --volume "$work/lib/$folder:/var/lib/$folder" \
        $options "$registry/$image" sh -ec "$command" > /dev/null
}
# once FOLDER IMAGE COMMAND: a container for a command that ends
once() {
    mkdir -p "$work/lib/$1"
    run once --rm --volume "$etc/$1:/etc/$1" "$registry/$2" sh -ec "$3" > "$work/$1.log" 2>&1 ||
        { tail -n 20 "$work/$1.log" >&2; exit 1; }
}
until_true() {
    tries=0
    until "$@" > /dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || { echo "bare.sh: never true: $*" >&2; exit 1; }
        sleep 0.1
    done
}
inside() { nsenter "--net=/run/netns/$name" "$@"; }
listens() { inside bash -c ": < /dev/tcp/127.0.0.1/$1"; }
answers() { inside curl --silent --noproxy '*' --max-time 20 --output /dev/null "http://127.0.0.1:$1/"; }
remove() {
    podman ps --all --format '{{.Names}}' | grep "^$name-" | xargs -r podman rm --force --time 0 > /dev/null 2>&1 || true
    ip netns del "$name" 2> /dev/null || true
    rm -rf "$work"
}

remove
[ "${1:-}" != remove ] || exit 0
guest=${1:?usage: bare.sh GUEST}
[ -f "$guest" ] || { echo "bare.sh: no such file: $guest (python -m daybreak_images guest --output $guest makes it)" >&2; exit 1; }
[ -n "${KEEP:-}" ] || trap remove EXIT
trap 'exit 130' HUP INT TERM
start=$(now) last=$start

# shellcheck source=tests/performance/openstack/configuration.sh
. "$here/configuration.sh"
umask 022
mkdir -p "$work/run/libvirt" "$work/run/openvswitch" "$work/volumes"
chmod 711 "$work"
ip netns add "$name"
ip -n "$name" link set lo up
inside sysctl -qw net.ipv4.ip_forward=1
configure_infrastructure
configure_keystone
configure_apis
configure_nova
configure_neutron
configure_cinder
configure_horizon
step network+files

chown -R 42434:42434 "$etc/mysql"
run memcached --detach "$registry/memcached:1.6" memcached -u memcached -l 127.0.0.1 -m 64 -t 2 > /dev/null
mkdir -p "$work/lib/mysql" "$work/run/mysqld"
chown 42434:42434 "$work/lib/mysql" "$work/run/mysqld"
service mariadb mysql mariadb:11.8 "--volume $work/run/mysqld:/run/mysqld" '
    mariadb-install-db --user=mysql --datadir=/var/lib/mysql --skip-test-db --auth-root-authentication-method=socket > /dev/null
    exec mariadbd --user=mysql --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock --bind-address=127.0.0.1 \
        --skip-name-resolve --innodb-flush-log-at-trx-commit=1 --innodb-buffer-pool-size=128M --max-connections=500 \
        --performance-schema=OFF --init-file=/etc/mysql/users.sql'
service rabbitmq rabbitmq rabbitmq:4.0 "" '
    export RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_CONFIG_FILE=/etc/rabbitmq/rabbitmq.conf HOME=/var/lib/rabbitmq
    export RABBITMQ_CONF_ENV_FILE=/etc/rabbitmq/empty.conf RABBITMQ_ENABLED_PLUGINS_FILE=/etc/rabbitmq/enabled_plugins
    export ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
    exec /usr/lib/rabbitmq/bin/rabbitmq-server'
step start-infrastructure
until_true podman exec "$name-mariadb" mariadb --socket=/run/mysqld/mysqld.sock -e 'SELECT 1 FROM mysql.user'
step mariadb
until_true listens 5672
step rabbitmq

mkdir -p "$etc/openvswitch" "$etc/ovn"
service switch openvswitch openvswitch:3.5 "--privileged --volume $work/run/openvswitch:/run/openvswitch" '
    mkdir -p /run/ovn
    database=unix:/run/openvswitch/db.sock
    ovsdb-tool create /etc/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema
    ovsdb-server /etc/openvswitch/conf.db --remote=punix:/run/openvswitch/db.sock --detach \
        --pidfile=/run/openvswitch/ovsdb-server.pid --unixctl=/run/openvswitch/ovsdb-server.ctl -vconsole:off
    ovs-vsctl --no-wait init
    ovs-vsctl --no-wait set Open_vSwitch . other_config:userspace-tso-enable=true \
        external_ids:system-id=node1 external_ids:hostname=node1 external_ids:ovn-remote=tcp:127.0.0.1:6642 \
        external_ids:ovn-encap-type=geneve external_ids:ovn-encap-ip=127.0.0.1 \
        external_ids:ovn-bridge-datapath-type=netdev external_ids:ovn-bridge-mappings=physnet1:br-ex \
        external_ids:ovn-cms-options=enable-chassis-as-gw
    ovs-vswitchd "$database" --pidfile=/run/openvswitch/ovs-vswitchd.pid \
        --unixctl=/run/openvswitch/ovs-vswitchd.ctl --detach -vconsole:off
    ovs-vsctl --may-exist add-br br-int -- set bridge br-int datapath_type=netdev fail-mode=secure \
        -- --may-exist add-br br-ex -- set bridge br-ex datapath_type=netdev
    exec ovn-controller "$database" --pidfile=/run/ovn/ovn-controller.pid -vconsole:warn'
service ovn ovn ovn:25.03 "" '
    for database in nb:OVN_Northbound:NB_Global:6641 sb:OVN_Southbound:SB_Global:6642; do
        IFS=: read -r short name table port << END
$database
END
        ovsdb-tool create /var/lib/ovn/$short.db /usr/share/ovn/ovn-$short.ovsschema
        ovsdb-server /var/lib/ovn/$short.db --remote=punix:/run/ovn/ovn${short}_db.sock --remote=ptcp:$port:127.0.0.1 \
            --remote=db:$name,$table,connections --pidfile=/run/ovn/$short.pid --unixctl=/run/ovn/$short.ctl \
            --detach -vconsole:off
    done
    ovn-nbctl init
    ovn-sbctl init
    exec ovn-northd --ovnnb-db=unix:/run/ovn/ovnnb_db.sock --ovnsb-db=unix:/run/ovn/ovnsb_db.sock -vconsole:warn'
until_true inside ip link show br-ex
inside ip address add "$external.1/24" dev br-ex
inside ip link set br-ex up
until_true sh -c "podman exec $name-ovn ovn-sbctl --bare --columns=name list chassis | grep -q ."
step ovn+switch

# One container for all of Keystone's commands; the password of the administrator comes by the environment.
export OS_BOOTSTRAP_PASSWORD="$password"
service keystone keystone "keystone:$release" "--env OS_BOOTSTRAP_PASSWORD" '
    keystone-manage fernet_setup --keystone-user root --keystone-group root
    keystone-manage credential_setup --keystone-user root --keystone-group root
    keystone-manage db_sync
    url=http://127.0.0.1:5000/v3
    keystone-manage bootstrap --bootstrap-region-id RegionOne --bootstrap-admin-url $url \
        --bootstrap-internal-url $url --bootstrap-public-url $url
    exec uwsgi --ini /etc/keystone/keystone.ini'
until_true answers 5000
step keystone
export OS_AUTH_URL=http://127.0.0.1:5000/v3 OS_USERNAME=admin OS_PASSWORD="$password" OS_PROJECT_NAME=admin \
    OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default OS_REGION_NAME=RegionOne no_proxy='*'
inside "$programs/openstack" token issue -f value -c expires > /dev/null
step first-token
inside "$programs/python" "$here/catalogue.py"
step catalogue

once glance "glance:$release" 'glance-manage db_sync'
step glance-schema
once placement "placement:$release" 'placement-manage db sync'
step placement-schema
once nova "nova:$release" '
    nova-manage api_db sync
    nova-manage cell_v2 map_cell0
    nova-manage cell_v2 create_cell --name=cell1
    nova-manage db sync'
step nova-schemas
once neutron "neutron:$release" 'neutron-db-manage --config-file /etc/neutron/neutron.conf upgrade heads'
step neutron-schema
once cinder "cinder:$release" 'cinder-manage db sync'
step cinder-schema

service glance glance "glance:$release" "" '
    mkdir -p /var/lib/glance/images /var/lib/glance/lock
    exec uwsgi --ini /etc/glance/glance-api.ini'
service placement placement "placement:$release" "" 'exec uwsgi --ini /etc/placement/placement.ini'
service neutron neutron "neutron:$release" "" '
    mkdir -p /var/lib/neutron/lock
    neutron-periodic-workers --config-file /etc/neutron/neutron.conf &
    neutron-ovn-maintenance-worker --config-file /etc/neutron/neutron.conf &
    exec uwsgi --ini /etc/neutron/neutron.ini'
service nova nova "nova:$release" "" '
    mkdir -p /var/lib/nova/lock
    # In threads of the system, as the charm starts them.
    OS_NOVA_DISABLE_EVENTLET_PATCHING=true nova-conductor &
    OS_NOVA_DISABLE_EVENTLET_PATCHING=true nova-scheduler &
    nova-novncproxy &
    uwsgi --ini /etc/nova/nova-metadata.ini &
    exec uwsgi --ini /etc/nova/nova-api.ini'
service cinder cinder "cinder:$release" "" '
    mkdir -p /var/lib/cinder/lock
    cinder-scheduler &
    exec uwsgi --ini /etc/cinder/cinder.ini'
service horizon horizon "horizon:$release" "" 'exec uwsgi --ini /etc/horizon/horizon.ini'
step start-apis

# --init: somebody must collect what QEMU and HAProxy leave behind. /dev/pts: Nova reads consoles only where it sees their terminals.
node="--privileged --init --volume /dev/pts:/dev/pts --volume $work/run/openvswitch:/run/openvswitch"
service libvirt libvirt libvirt:11.3 "$node --volume $work/run/libvirt:/run/libvirt --volume $work/lib/nova:/var/lib/nova" '
    # Servers are emulated: see the charm of hypervisors, libvirtd.sh.
    rm -f /dev/kvm
    virtlogd --daemon
    exec libvirtd --config /etc/libvirt/libvirtd.conf'
service compute nova "nova:$release" "$node --volume $work/run/libvirt:/run/libvirt" '
    mkdir -p /var/lib/nova/instances /var/lib/nova/mnt /var/lib/nova/lock
    until [ -S /run/libvirt/libvirt-sock ]; do sleep 0.1; done
    exec nova-compute'
service agent neutron "neutron:$release" "$node" 'exec neutron-ovn-agent --config-file /etc/neutron/agent.conf'
if [ "$volumes" = yes ]; then
    service volume cinder "cinder:$release" "--privileged --volume $work/volumes:/volumes
        --volume $etc/cinder/mount.nfs:/usr/sbin/mount.nfs" '
        mkdir -p /var/lib/cinder/mnt
        exec cinder-volume --config-file /etc/cinder/cinder.conf'
fi
step start-hypervisor
for port in 9292 8778 9696 8774 8775 8776 80; do
    until_true answers $port
done
step all-answer

inside "$programs/python" "$here/first_server.py" --guest "$guest" --external "$external.0/24" > "$work/first"
while read -r title seconds; do
    echo "$title $seconds $last $start" | awk '{ printf "%-22s %6.2f  %6.2f\n", $1, $2, $2 + $3 - $4 }'
    last=$(echo "$last $seconds" | awk '{ print $1 + $2 }')
done < "$work/first"
last=$(now)
echo "$start $last" | awk '{ printf "total %.2f\n", $2 - $1 }'

sleep "${IDLE:-60}"
"$programs/python" "$home/tests/performance/memory.py" --containers "$name-"
